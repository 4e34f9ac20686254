"""Another checkout of this project as a system: its own bundle, served by its own runtime.

The checkout is never written to. Its files are copied, its ``quantize.py`` builds a bundle in the copy, and its server
runs there. Where it has no environments in ``.venv``, those of this checkout are used.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.environment import ENVIRONMENTS, python_in
from bench.errors import SetupFailed
from bench.report.machine import commit
from bench.server.runtime import RUNTIME_PACKAGES, build_bundle, serve_bundle
from bench.server.system import BASE, Launch, System
from build.model.files import ModelFiles
from manifest import Precision

PROGRAMS = ("quantize.py", "manifest.py", "runtime/__main__.py")
"""A checkout of this project has these files, whichever commit it is at."""

ENVIRONMENT_FOLDER = ".venv"
KERNELS = Path("kernels", "lib")
"""git ignores the compiled kernels. They are copied as well: the build compiles them again unless they are current."""

BUNDLES = "bundles-of-models"


def base_system(checkout: Path, copy: Path, precision: Precision, options: Sequence[str] = ()) -> System:
    """The row of ``checkout``, whose files are copied to ``copy``, a new directory. Raises ``SetupFailed``.

    ``options``: what ``quantize.py`` is told besides.
    """
    _check(checkout)
    _copy_files(checkout, copy)
    environments = {name: _environment(checkout, copy, name) for name in ("build", "runtime")}

    def bundle(model: ModelFiles) -> Path:
        return copy / BUNDLES / model.source.revision.replace(":", "-")

    def prepare(model: ModelFiles) -> None:
        build_bundle(python_in(environments["build"]), model, precision, bundle(model), copy, options)

    def launch(model: ModelFiles, port: int) -> Launch:
        return serve_bundle(environments["runtime"], bundle(model), port, copy)

    return System(
        name=BASE,
        about=f"another checkout's runtime on its own {precision} bundle, commit {commit(checkout) or 'unknown'}",
        environment=environments["runtime"],
        packages=RUNTIME_PACKAGES,
        prepare=prepare,
        launch=launch,
    )


def _check(checkout: Path) -> None:
    if not checkout.is_dir():
        raise _not_a_checkout(checkout, "there is no such directory")
    if missing := [name for name in PROGRAMS if not (checkout / name).is_file()]:
        raise _not_a_checkout(checkout, f"it has no {missing[0]}")


def _copy_files(checkout: Path, copy: Path) -> None:
    """Copy the files that git tracks or does not ignore, as they are in the working tree."""
    for name in [*_files(checkout), *_compiled_kernels(checkout)]:
        source, target = checkout / name, copy / name
        if name.parts[0] == ENVIRONMENT_FOLDER or not (source.is_file() or source.is_symlink()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def _files(checkout: Path) -> list[Path]:
    command = ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise SetupFailed("git is missing: it lists the files of the checkout that BASE names") from None
    except subprocess.CalledProcessError as error:
        raise _not_a_checkout(checkout, error.stderr.strip().splitlines()[0]) from None
    return [Path(name) for name in listing.split("\0") if name]


def _compiled_kernels(checkout: Path) -> list[Path]:
    return [path.relative_to(checkout) for path in (checkout / KERNELS).glob("libcpu2vec-*")]


def _environment(checkout: Path, copy: Path, name: str) -> Path:
    """The copy's environment: a link to the checkout's own one, or to this checkout's where there is none."""
    own = checkout.absolute() / ENVIRONMENT_FOLDER / name
    link = copy / ENVIRONMENT_FOLDER / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(own if python_in(own).is_file() else ENVIRONMENTS / name)
    return link


def _not_a_checkout(checkout: Path, reason: str) -> SetupFailed:
    return SetupFailed(f"BASE must be a checkout of this project, not {checkout}: {reason}")
