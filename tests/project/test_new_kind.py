"""What a new kind of model costs: new files, and a row in each table. Nothing else is edited."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.support.graphs.native_model import reseal
from tests.support.paths import DATA, ROOT
from tests.support.server.server_process import Server, ready, started

NEW_FILES = DATA / "reverse_kind"
"""A kind that answers ``POST /reverse``."""

MODULES = ("sections/reverse.py", "build/kinds/reverse.py", "runtime/kinds/reverse.py", "runtime/api/reverse.py")


FOLDERS = ("build", "runtime", "sections")


@dataclass(frozen=True)
class Row:
    """A line that is inserted before the only line that begins with ``before``."""

    file: str
    before: str
    line: str


ROWS = (
    Row("manifest.py", '    TEXT = "text"', '    REVERSE = "reverse"'),
    Row("manifest.py", "from sections.text import Task", "from sections.reverse import ReverseModel as ReverseModel"),
    Row("manifest.py", "    Kind.TEXT: TextModel,", "    Kind.REVERSE: ReverseModel,"),
    Row("build/kinds/__init__.py", "    Kind.TEXT: ", '    Kind.REVERSE: "build.kinds.reverse",'),
    Row("runtime/kinds/__init__.py", "    Kind.TEXT: ", '    Kind.REVERSE: "runtime.kinds.reverse",'),
    Row("build/image/rootfs.py", '    "text": (', '    "reverse": UNUSED_OF_OTHERS,'),
)


def insert(row: Row, tree: Path) -> None:
    lines = (tree / row.file).read_text().splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if line.startswith(row.before)]
    (tree / row.file).write_text("".join([*lines[:place], f"{row.line}\n", *lines[place:]]))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the programs with the new kind in it, in this checkout's environments."""
    copy = tmp_path_factory.mktemp("new-kind")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manifest.py", "quantize.py", "VERSION", "requirements.in"):
        shutil.copy(ROOT / name, copy)
    (copy / ".venv").symlink_to((ROOT / ".venv").resolve())
    shutil.copytree(NEW_FILES, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for row in ROWS:
        insert(row, copy)
    return copy


@pytest.fixture(scope="module")
def bundle(tree: Path) -> Path:
    """Made by ``quantize.py``, which asks the real runtime and checks its answers."""
    model = tree / "my-model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "reverse", "max_characters": 10}))
    save_file({"nothing": np.zeros(1, np.float32)}, model / "model.safetensors")
    result = subprocess.run(
        [sys.executable, "quantize.py", "./my-model", "--output", "bundle"],
        cwd=tree,
        env={"PATH": os.defpath, "HOME": str(tree)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "longest  10 characters\n" in result.stdout
    assert "[3/4] package: my-model\n" in result.stderr
    return tree / "bundle"


@pytest.fixture(scope="module")
def server(tree: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(bundle, tmp_path_factory.mktemp("log") / "log", ["env", "--chdir", str(tree)]) as server:
        yield server


def test_the_server_answers_its_route(server: Server):
    with server.connect() as connection:
        answer = connection.request("POST", "/reverse", json.dumps({"text": "hello"}).encode())
        assert (answer.status, answer.json) == (200, {"text": "olleh"})
        refused = connection.request("POST", "/reverse", json.dumps({"text": "x" * 11}).encode())
        assert (refused.status, refused.json) == (400, {"error": "text must have at most 10 characters, not 11"})
        unknown = connection.request("POST", "/vectors", b"{}")
        assert unknown.json["error"].startswith("no such path; this server has /reverse, /meta, ")


def test_meta_shows_its_section(server: Server):
    with server.connect() as connection:
        meta = connection.request("GET", "/meta").json
    assert meta["bundle"]["kind"] == "reverse"
    assert meta["bundle"]["reverse"] == {"max_characters": 10}
    assert meta["serving"]["max_characters"] == 10


def test_its_golden_requests_are_checked_before_it_is_ready(tree: Path, bundle: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    golden = json.loads((broken / "golden.json").read_text())
    golden["requests"][1]["answer"]["text"] = "hello"
    (broken / "golden.json").write_text(json.dumps(golden))
    reseal(broken)
    with started(broken, tmp_path / "log", ["env", "--chdir", str(tree)]) as server:
        assert server.process.wait(60) != 0
    assert "not serving: the golden request /reverse" in server.output()


def test_an_image_leaves_out_what_its_row_says(tree: Path, bundle: Path):
    program = [sys.executable, "build/image/rootfs.py", "kind", str(bundle)]
    assert subprocess.run(program, cwd=tree, capture_output=True, text=True, check=True).stdout == "reverse\n"


def test_text_models_are_still_recognized(tree: Path):
    program = "from build.kinds import KINDS; print(list(KINDS))"
    listed = subprocess.run(
        [sys.executable, "-c", program], cwd=tree, capture_output=True, text=True, check=True
    ).stdout
    assert listed.index("reverse") < listed.index("text")


def test_it_took_four_new_files_and_a_row_in_each_table(tree: Path):
    new = {path.relative_to(NEW_FILES).as_posix() for path in NEW_FILES.rglob("*.py")}
    assert new == set(MODULES)
    edited = {}
    for path in [*tree.glob("*.py"), *(found for name in FOLDERS for found in (tree / name).rglob("*.py"))]:
        name = path.relative_to(tree).as_posix()
        if name not in MODULES and (added := lines_added(ROOT / name, path)):
            edited[name] = added
    tables = ("build/kinds/__init__.py", "runtime/kinds/__init__.py", "build/image/rootfs.py")
    assert edited == {"manifest.py": 3, **dict.fromkeys(tables, 1)}


def lines_added(before: Path, after: Path) -> int:
    """How many lines were inserted. No line may have changed or gone."""
    old, new = before.read_text().splitlines(), after.read_text().splitlines()
    added = Counter(new) - Counter(old)
    assert not Counter(old) - Counter(new)
    return added.total()
