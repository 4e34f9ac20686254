"""A model's JSON files: every error is a sentence that names the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from build.errors import ModelNotFound, UnsupportedModel
from build.model.json_files import read_json, read_object, refuse_unknown


def test_any_json_is_read(tmp_path: Path):
    (tmp_path / "list.json").write_text("[1, null]")
    (tmp_path / "object.json").write_text('{"ß": 1}', encoding="utf-8")
    assert read_json(tmp_path, "list.json") == [1, None]
    assert read_object(tmp_path, "object.json") == {"ß": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 100_000])
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ModelNotFound, match=r"^a\.json is not JSON: "):
        read_json(tmp_path, "a.json")


def test_what_is_missing_or_no_file_is_named(tmp_path: Path):
    with pytest.raises(ModelNotFound, match=f"^{tmp_path} has no a.json: the model directory is incomplete$"):
        read_json(tmp_path, "a.json")
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ModelNotFound, match=r"^a\.json cannot be read: Is a directory$"):
        read_json(tmp_path, "a.json")


@pytest.mark.parametrize("content", ["[]", "null", "1", '"text"'])
def test_another_value_is_no_object(tmp_path: Path, content: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ModelNotFound, match=r"^a\.json must be a JSON object$"):
        read_object(tmp_path, "a.json")


def test_the_first_unknown_key_is_named():
    refuse_unknown({"a": 1}, {"a", "b"}, "a.json")
    message = "a.json: the key c is unknown, and might change vectors"
    with pytest.raises(UnsupportedModel, match=f"^{re.escape(message)}$"):
        refuse_unknown({"d": 1, "c": 1, "a": 1}, {"a", "b"}, "a.json")
