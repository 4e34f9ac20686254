"""A ``docker`` that only writes down how it was called, and bundles for it to return."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from manifest import (
    MANIFEST_FILE,
    SCHEMA,
    CosineFigures,
    Fidelity,
    Kind,
    Manifest,
    Precision,
    Source,
    SourceKind,
    Target,
    bundle_files,
    describe_files,
    write_manifest,
)
from tests.support.bundles.text_models import a_text_model
from tests.support.paths import ROOT
from tests.support.signals import restore_signals

FAKE_DOCKER = """\
#!{python}
import json, os, shutil, sys, time
from pathlib import Path

words = sys.argv[1:]
home = Path({home!r})
if words[0] == "version":
    sys.exit("Cannot connect to the Docker daemon" if (home / "unreachable").exists() else 0)
if words[0] == "image":
    print(123456789)
    sys.exit()
arguments = dict(word.split("=", 1) for option, word in zip(words, words[1:])
                 if option == "--build-arg" and "=" in word)
context = Path(arguments["CONTEXT"]) if "CONTEXT" in arguments else None
files = sorted(str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()) if context else []
output = words[words.index("--output") + 1] if "--output" in words else None
with (home / "calls").open("a") as calls:
    call = dict(words=words, arguments=arguments, files=files, environment=dict(os.environ), output=output)
    calls.write(json.dumps(call) + "\\n")
if (home / "hang").exists():
    time.sleep(3600)
if (home / "fail").exists():
    sys.stderr.write((home / "fail").read_text())
    sys.exit(7)
if output:
    shutil.copytree(home / "bundle", output.partition("dest=")[2])
"""

MODEL = a_text_model()


@dataclasses.dataclass(frozen=True)
class Call:
    """How ``docker build`` was called."""

    words: list[str]
    arguments: dict[str, str]
    """The build arguments that have a value."""
    files: list[str]
    """The files of the context's own directory."""
    environment: dict[str, str]
    output: str | None

    def option(self, name: str) -> list[str]:
        """The values of an option."""
        return [word for before, word in zip(self.words, self.words[1:], strict=False) if before == name]

    @property
    def labels(self) -> dict[str, str]:
        return {name: value for name, _, value in (word.partition("=") for word in self.option("--label"))}


class FakeDocker:
    """A directory with a ``docker`` for PATH; ``home/bundle`` is what its export stage makes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "bin").mkdir()
        docker = home / "bin" / "docker"
        docker.write_text(FAKE_DOCKER.format(python=sys.executable, home=str(home)))
        docker.chmod(0o755)
        self.environment = {"PATH": f"{home / 'bin'}:{os.defpath}"}

    def command(self, *arguments: str, module: str = "build.image") -> list[str]:
        # -S: no installed package can be imported, as on a host that only has Python and Docker.
        return [sys.executable, "-S", "-m", module, *arguments]

    def run(self, *arguments: str, module: str = "build.image", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, module=module),
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start without waiting."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=restore_signals,
        )

    @property
    def calls(self) -> list[Call]:
        path = self.home / "calls"
        return [Call(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def assert_nothing_left(self) -> None:
        used = {call.arguments["CONTEXT"] for call in self.calls if "CONTEXT" in call.arguments}
        used |= {str(Path(call.output.partition("dest=")[2]).parent) for call in self.calls if call.output}
        assert used
        assert not [path for path in used if (ROOT / path).exists()]


def a_manifest(**changes: Any) -> Manifest:
    manifest = Manifest(
        schema=SCHEMA,
        version="1.2.3",
        model="BAAI/bge-small-en-v1.5",
        source=Source(SourceKind.HUB, "c0ffee"),
        licence="mit",
        kind=Kind.TEXT,
        target=Target.ARM64,
        precision=Precision.INT8,
        files={},
        tools={},
        fidelity=Fidelity(CosineFigures(count=240, mean=0.99284812, p1=0.98, minimum=0.97)),
        section=MODEL,
    )
    return dataclasses.replace(manifest, **changes)


def write_bundle(directory: Path, **changes: Any) -> Path:
    directory.mkdir(parents=True)
    for name in bundle_files(MODEL):
        (directory / name).write_text(f"content of {name}")
    write_manifest(directory, a_manifest(files=describe_files(directory, MODEL), **changes))
    return directory


def bundle_in_context() -> list[str]:
    """The files of a context that holds a bundle."""
    return sorted(f"bundle/{name}" for name in (*bundle_files(MODEL), MANIFEST_FILE))
