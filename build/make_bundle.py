"""The command line of ``make bundle`` and ``make serve``: finds the bundle that the variables name, or builds it."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from build import announce
from build.cli import add_model_options, build, model_names
from build.command_line import ARCHITECTURES, Parser, printable, run
from build.errors import OutputExists
from build.host.machine import host_target
from build.kinds import modules
from build.model.default_model import MODEL
from build.model.fetch import is_path, refuse_revisions
from build.model.trust import read_options as read_trust
from build.names import default_output, joined
from build.paths import ROOT
from manifest import MANIFEST_FILE, BundleError, Precision

PROGRAM = "make bundle"
RUNTIME_PYTHON = ROOT / ".venv" / "runtime" / "bin" / "python"
DEFAULT_PORT = 8080
"""The port that the runtime serves on if PORT is unset or empty."""

DESCRIPTION = "Find the bundle that make's variables name, build it if it does not exist, and serve it if asked."


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say. A table goes to standard output, everything else to standard error."""
    parser = Parser(PROGRAM, DESCRIPTION)
    parser.add_argument("--model", help=f"id on the Hugging Face hub, or a local model directory (default: {MODEL})")
    parser.add_argument("--bundle", type=Path, help="the bundle's directory (default: named after the model)")
    parser.add_argument("--arch", type=ARCHITECTURES, metavar=ARCHITECTURES.metavar, help="default: this machine's")
    parser.add_argument("--serve", action="store_true", help="serve the bundle")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    add_model_options(parser)
    options = parser.read(arguments)
    return run(PROGRAM, lambda: _make(options), interrupted="nothing was left behind")


def _make(options: argparse.Namespace) -> int:
    refuse_revisions(replace(model_names(options), model=options.model or MODEL))
    read_trust(options)
    bundle = bundle_of(options)
    if bundle is not None and (bundle / MANIFEST_FILE).is_file():
        refuse_another(bundle, options)
        if not options.serve:
            print(printable(f"{bundle} exists. If its model has changed, delete it to have it built again."))
    else:
        bundle = _build(bundle, options)
    if options.serve:
        _serve(bundle, options.port)
    return 0


def bundle_of(options: argparse.Namespace) -> Path | None:
    """The bundle's directory; None where it depends on the kind of a model that no bundle was made of yet.

    Raises ``BundleError`` for one that is given, does not exist and cannot be built.
    """
    if options.bundle is None:
        return _named(options)
    bundle: Path = options.bundle
    if not (bundle / MANIFEST_FILE).is_file() and not options.model:
        raise BundleError(f"BUNDLE must be an existing bundle, not {str(bundle)!r}: to build one there, set MODEL too")
    return bundle


def _named(options: argparse.Namespace) -> Path | None:
    """The directory that is named after the model, in the precision asked for or in its kind's own."""
    model, target = joined(options.model or MODEL, options.image_model), options.arch or host_target()
    if options.precision is not None:
        return default_output(model, options.revision, options.precision, target, options.image_revision)
    defaults: dict[str, Precision] = {kind: module.PRECISIONS[0] for kind, module in modules().items()}
    for precision in dict.fromkeys(defaults.values()):
        bundle = default_output(model, options.revision, precision, target, options.image_revision)
        if not (bundle / MANIFEST_FILE).is_file():
            continue
        # NOTE: without a kind the manifest is damaged, which is for the server to say.
        if defaults.get(_manifest(bundle).get("kind", ""), precision) == precision:
            return bundle
    return None


def refuse_another(bundle: Path, options: argparse.Namespace) -> None:
    """Raise ``BundleError`` for a bundle of another model, revision, code, precision or architecture than requested."""
    manifest = _manifest(bundle)
    for found, wanted in (
        (manifest.get("model"), _wanted_model(options)),
        (_revision(_source(manifest)), options.revision),
        (_revision(_image_source(manifest)), options.image_revision),
        (_code_revision(manifest), options.code_revision and f"code of {options.code_revision}"),
        (manifest.get("precision"), options.precision),
        (manifest.get("target"), options.arch),
    ):
        if found and wanted and str(found).lower() != str(wanted).lower():
            raise BundleError(f"{bundle} is a bundle of {found}, not of {wanted}: set BUNDLE to another directory")


def _manifest(bundle: Path) -> dict[str, Any]:
    """The manifest, as far as it can be read. Whether it is valid is for the server to judge."""
    try:
        manifest = json.loads((bundle / MANIFEST_FILE).read_bytes())
    except (ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _revision(source: dict[str, Any]) -> str | None:
    """The revision that was requested of the hub, if the manifest says so."""
    return str(source["requested"] or "main") if "requested" in source else None


def _code_revision(manifest: dict[str, Any]) -> str | None:
    """The commit of code in another repository, if the manifest says whether there is such code."""
    source = _source(manifest)
    return f"code of {source['code_revision'] or 'no other repository'}" if "code_revision" in source else None


def _source(manifest: dict[str, Any]) -> dict[str, Any]:
    return _object(manifest, "source")


def _image_source(manifest: dict[str, Any]) -> dict[str, Any]:
    """Of the model that images have, where texts have one of their own."""
    return _object(_object(_object(manifest, "clip"), "image"), "source")


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    field = value.get(name)
    return field if isinstance(field, dict) else {}


def _wanted_model(options: argparse.Namespace) -> str | None:
    """What the bundle of these options says that it was made of; None: the options do not say it."""
    model, image_model = _model_name(options.model), _model_name(options.image_model)
    return None if model is None else joined(model, image_model)


def _model_name(model: str | None) -> str | None:
    """What a bundle's manifest calls the model."""
    if model is None or not is_path(model):
        return model
    return Path(model).expanduser().absolute().name


def _build(bundle: Path | None, options: argparse.Namespace) -> Path:
    if bundle is not None and os.path.lexists(bundle):
        raise OutputExists(f"{bundle} exists and is not a bundle: move it away, or set BUNDLE to another directory")
    model = options.model or MODEL
    name = joined(model, options.image_model)
    what = f"{bundle} from {name}" if bundle is not None else f"a bundle of {name}"
    print(printable(f"building {what}: a minute or less for small models"), file=sys.stderr)
    changes = {"model": model, "force": False}
    return build(argparse.Namespace(**{**vars(options), **changes}), [(options.arch or host_target(), bundle)])


def _serve(bundle: Path, port: int) -> NoReturn:
    """Become the server. It reads its settings, PORT included, from the environment."""
    print(printable(f"serving {bundle}"), flush=True)
    if not is_taken(port):
        _announce(port)
    environment = {**os.environ, "BUNDLE_DIR": str(bundle)}
    os.execve(RUNTIME_PYTHON, [str(RUNTIME_PYTHON), "-m", "runtime"], environment)


def is_taken(port: int) -> bool:
    """Whether something else listens on the port already, so that the server cannot start."""
    try:
        with socket.create_connection(("localhost", port), timeout=5):
            return True
    except OSError:
        return False


def _announce(port: int) -> None:
    """Have a process beside the server say how to try it, once it is ready."""
    request = f"""curl http://localhost:{port}/vectors -d '{{"text": "hello world"}}' | head -c 300"""
    arguments = [str(os.getpid()), str(port), f"ready; try it:\n  {request}"]
    # NOTE: in a session of its own, so that Ctrl-C reaches the server alone, with which this process ends.
    command = [sys.executable, "-I", "-S", announce.__file__, *arguments]
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 65535, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
