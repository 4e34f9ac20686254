"""The house's rules: imports point one way, and the runtime never needs what only a build needs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from build.fidelity.runtime_process import RUNTIME_PYTHON
from tests.support.paths import ROOT

RUNTIME = sorted((ROOT / "runtime").rglob("*.py"))
BUILD = sorted((ROOT / "build").rglob("*.py"))
BUILD_ONLY = {
    "torch",
    "transformers",
    "optimum",
    "safetensors",
    "sentence_transformers",
    "onnx",
    "huggingface_hub",
    "requests",
    "yaml",
    "jinja2",
    "einops",
    "tqdm",
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", RUNTIME, ids=ids)
def test_the_runtime_imports_nothing_of_the_build(path: Path):
    assert not packages(path) & (BUILD_ONLY | {"build", "bench", "tests"})


@pytest.mark.parametrize("path", BUILD, ids=ids)
def test_the_build_imports_nothing_of_the_runtime(path: Path):
    assert not packages(path) & {"runtime", "falcon", "gunicorn", "uvloop", "bench", "tests"}


def test_the_manifest_needs_the_standard_library_alone():
    for path in (ROOT / "manifest.py", *(ROOT / "sections").glob("*.py")):
        assert packages(path) <= {*sys.stdlib_module_names, "sections"}


def test_only_the_session_imports_onnxruntime():
    assert [path.name for path in RUNTIME if "onnxruntime" in packages(path)] == ["session.py"]


def test_only_the_decoder_imports_pillow():
    assert [path.name for path in RUNTIME if "PIL" in packages(path)] == ["decoder.py"]


def test_only_the_settings_read_the_environment():
    readers = [path.name for path in RUNTIME if re.search(r"os\.(environ|getenv)", path.read_text())]
    # __init__.py writes two variables, before any library that reads them is imported
    assert readers == ["__init__.py", "settings.py"]
    assert len(re.findall(r'^os\.environ\["\w+"\] = "1"$', (ROOT / "runtime/__init__.py").read_text(), re.M)) == 2
    assert (ROOT / "runtime/__init__.py").read_text().count("os.environ") == 2


def test_only_one_module_maps_errors_to_status_codes():
    mappers = {path.name for path in RUNTIME if "add_error_handler" in path.read_text()}
    assert mappers == {"error_handlers.py"}


def test_only_the_main_module_composes_the_server():
    parts = {"runtime.api.app.create_app", "runtime.kinds.plan", "runtime.server.server.run_server"}
    assert [path.name for path in RUNTIME if parts <= imports(path)] == ["main.py"]


def test_only_the_hub_module_talks_to_the_hub():
    assert [path.name for path in BUILD if "huggingface_hub" in packages(path)] == ["hub.py"]


EVERYBODY = {
    "build": {"errors", "command_line", "progress", "paths"},
    "runtime": {"errors", "readiness", "trace_context"},
}
"""Modules that any other may import, besides ``manifest`` and ``sections``."""

DIRECTIONS = {
    "build": {
        # folders, from the lowest up
        "host": set(),
        "model": {"host", "names"},
        "graph": {"host"},
        "bundle": {"model"},
        "pytorch": {"model", "host"},
        "quantization": {"graph", "host"},
        "native": {"quantization", "graph", "model", "host"},
        "static": {"model", "fidelity", "precisions"},
        "fidelity": {"model", "pytorch", "quantization", "host", "kernels"},
        "ranking": {"fidelity", "model", "precisions", "pytorch"},
        "clip": {"fidelity", "host", "model", "pytorch", "precisions"},
        "kinds": {
            "bundle",
            "clip",
            "fidelity",
            "graph",
            "model",
            "native",
            "precisions",
            "pytorch",
            "quantization",
            "ranking",
            "static",
        },
        "image": {"model", "fidelity", "names"},
        "sbom": {"image"},
        "compare": {"clip", "fidelity", "ranking"},
        # modules beside them
        "errors": set(),
        "command_line": set(),
        "progress": set(),
        "paths": set(),
        "names": set(),
        "kernels": set(),
        "precisions": {"fidelity"},
        "pipeline": {"kinds", "model", "bundle", "fidelity", "host", "names", "precisions"},
        "summary": {"pipeline"},
        "cli": {"pipeline", "summary", "bundle", "fidelity", "host", "model", "names"},
        "announce": set(),
        "make_bundle": {"announce", "cli", "host", "kinds", "model", "names"},
    },
    "runtime": {
        "host": set(),
        "metrics": set(),
        "images": set(),
        "literals": set(),
        "scheduling": {"host", "metrics"},
        "inference": {"host", "scheduling"},
        "batches": {"metrics", "scheduling"},
        "siblings": {"batches", "scheduling"},
        "text": {"batches", "inference", "metrics", "scheduling"},
        "rerank": {"inference", "metrics", "scheduling", "text"},
        "static": {"batches", "metrics", "scheduling", "text"},
        "settings": {"text"},
        "logs": {"settings"},
        "bundle": set(),
        "clip": {"host", "images", "inference", "scheduling", "text"},
        "page": set(),
        "api": {"batches", "bundle", "clip", "host", "literals", "metrics", "page", "rerank", "static", "text"},
        "golden": {"api"},
        "http": {"api", "host", "metrics", "siblings"},
        "kinds": {
            "api",
            "batches",
            "bundle",
            "clip",
            "host",
            "images",
            "inference",
            "metrics",
            "rerank",
            "scheduling",
            "settings",
            "static",
            "text",
        },
        "service": {"api", "golden", "http", "kinds"},
        "server": {"api", "host", "http"},
        "main": {
            "api",
            "batches",
            "siblings",
            "http",
            "kinds",
            "page",
            "service",
            "server",
            "host",
            "settings",
            "bundle",
            "logs",
        },
        "__main__": {"host", "main"},
        "errors": set(),
        "readiness": set(),
        "trace_context": set(),
    },
}
"""What each folder, and each module beside the folders, may import of its program."""


def room_of(module: str) -> str:
    """The folder below the program, or the module beside the folders."""
    return module.split(".")[1]


@pytest.mark.parametrize(
    ("program", "room"), [(program, room) for program, rooms in DIRECTIONS.items() for room in rooms]
)
def test_imports_go_one_way(program: str, room: str):
    folder = ROOT / program / room
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    used = {room_of(name) for path in paths for name in imports(path) if name.startswith(f"{program}.")}
    assert used - {room} <= DIRECTIONS[program][room] | EVERYBODY[program]


@pytest.mark.parametrize("program", DIRECTIONS)
def test_the_table_of_directions_is_complete_and_has_no_cycle(program: str):
    found = {room_of(module_name(path)) for path in (ROOT / program).rglob("*.py") if path.parent != ROOT / program}
    found |= {path.stem for path in (ROOT / program).glob("*.py")} - {"__init__"}
    rooms = DIRECTIONS[program]
    assert set(rooms) == found
    done: set[str] = set()
    while ready := {room for room, needs in rooms.items() if room not in done and needs <= done}:
        done |= ready
    assert done == set(rooms)


@pytest.mark.parametrize("folder", ["build", "runtime", "tests", "bench", "sections"])
def test_no_folder_has_more_than_16_modules(folder: str):
    counts = Counter(path.parent for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py")
    assert {path.relative_to(ROOT).as_posix(): count for path, count in counts.items() if count > 16} == {}


@pytest.mark.parametrize("folder", ["runtime", "build"])
def test_imports_have_no_cycle(folder: str):
    modules = {module_name(path): path for path in (ROOT / folder).rglob("*.py")}
    graph = {name: imports(path) & set(modules) for name, path in modules.items()}
    done: set[str] = set()
    while ready := {name for name, needs in graph.items() if name not in done and needs & set(graph) <= done}:
        done |= ready
    assert done == set(graph)


@pytest.mark.parametrize("path", RUNTIME + BUILD + [ROOT / "manifest.py"], ids=ids)
def test_every_module_opens_with_a_sentence_that_says_what_it_owns(path: Path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", ","))


def test_the_runtime_loads_where_the_builds_packages_cannot_be_imported():
    """In the runtime's own environment, with an import hook that fails for every one of them."""
    modules = [module_name(path) for path in RUNTIME if path.stem != "__main__"]
    program = f"""
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(BUILD_ONLY | {"build"})!r}:
            raise ImportError("refused: " + name)

sys.meta_path.insert(0, Refuse())
for name in {modules!r}:
    importlib.import_module(name)
"""
    subprocess.run([RUNTIME_PYTHON, "-W", "error", "-c", program], cwd=ROOT, env={"PATH": os.defpath}, check=True)


def test_the_runtimes_environment_holds_its_requirements_and_the_tests_tools_only():
    listed = subprocess.run(
        [RUNTIME_PYTHON, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed = {line.split("==")[0].lower().replace("_", "-") for line in listed.splitlines()}
    allowed = {"pip", "setuptools"}
    for name in ("requirements.txt", "tests/requirements.txt"):
        lines = (ROOT / name).read_text().splitlines()
        allowed |= {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert installed <= allowed
