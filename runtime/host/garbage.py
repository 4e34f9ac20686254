"""Python's search for garbage: off while a process starts, and never through what it has loaded."""

from __future__ import annotations

import gc


def pause_collections() -> None:
    """Search for no garbage from now on.

    A start makes almost none, and hundreds of thousands of objects that stay. Each search would look at all of them.
    """
    gc.disable()


def resume_collections() -> None:
    """Search again, but only among what is made from now on. A fork then leaves the pages of the rest shared."""
    gc.freeze()
    gc.enable()
