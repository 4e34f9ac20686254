"""How much memory a process has in use."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(process: int, root: Path = Path("/")) -> int:
    """The resident memory of the process, with what it shares with others; 0 if there is no such process."""
    try:
        pages = int((root / f"proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
