"""The directory in which models and bundles are passed to docker."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from build.image.context import build_context, link_files


def test_two_builds_at_once_have_their_own_contexts(tmp_path: Path):
    with build_context(tmp_path) as first, build_context(tmp_path) as second:
        assert first != second
        (first / "file").write_text("")
    assert not list((tmp_path / ".image-context").iterdir())


def test_files_are_linked_on_the_same_file_system_and_copied_to_others(tmp_path: Path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("content")
    link_files(tmp_path / "from", ["file"], tmp_path / "to")
    assert (tmp_path / "to" / "file").samefile(tmp_path / "from" / "file")
    if Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
        elsewhere = Path("/dev/shm") / f"cpu2vec-test-{os.getpid()}"
        try:
            link_files(tmp_path / "from", ["file"], elsewhere)
            assert (elsewhere / "file").read_text() == "content"
        finally:
            shutil.rmtree(elsewhere, ignore_errors=True)
