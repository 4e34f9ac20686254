"""A user's file of texts: one per line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from build.compare.texts import OwnTexts, read_texts
from build.errors import NoTexts


def test_blank_and_repeated_lines_are_left_out(tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffone\r\n\r\n  two  \n \t\nthree\u2028four\x0bfive\none\n".encode())
    assert read_texts(file) == OwnTexts(("one", "  two  ", "three\u2028four\x0bfive"), repeated=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have at least 2 different texts, one per line, not 0"),
        (b"one\none\n\n", "must have at least 2 different texts, one per line, not 1"),
        (b"caf\xe9\ntwo", "is not UTF-8 (byte 3)"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "texts.txt"
    file.write_bytes(content)
    with pytest.raises(NoTexts, match=re.escape(message)):
        read_texts(file)


def test_unreadable_files_are_named(tmp_path: Path):
    with pytest.raises(NoTexts, match="nothing cannot be read: No such file"):
        read_texts(tmp_path / "nothing")
    with pytest.raises(NoTexts, match="cannot be read: Is a directory"):
        read_texts(tmp_path)
