"""The command line of ``quantize.py``: arguments in, exit code out. Until a build starts, it needs no packages."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from build.bundle.staging import DISK_FULL
from build.command_line import Choice, Parser, choice_of, run, system_message
from build.errors import OutOfDisk, SetupIncomplete
from build.fidelity import thresholds
from build.host.machine import host_target
from build.model import trust
from build.model.default_model import MODEL
from build.names import BUNDLES, ModelNames
from manifest import MACHINES, Precision, Target

PROGRAM = "quantize.py"
PACKAGES = ("torch", "optimum", "sentence_transformers")
"""Packages that only the build's environment has."""

LIBRARY_SETTINGS = {"HF_HUB_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Environment variables that libraries read when they are imported, unless the user has set them."""

BOTH = "both"
TARGETS = Choice(
    {**{target.value: (target,) for target in Target}, BOTH: tuple(Target)},
    {name: (target,) for name, target in MACHINES.items()},
)
"""What --arch accepts: one architecture or both."""

PRECISIONS = choice_of(Precision)

DESCRIPTION = "Turn a Hugging Face embedding model into a bundle that the CPU runtime serves."
EXAMPLES = f"""\
examples:
  ./quantize.py {MODEL}
  ./quantize.py BAAI/bge-small-en-v1.5 --arch arm64          (or --arch both)
  ./quantize.py ./my-model --precision fp32 --output bundles/mine
  ./quantize.py ./my-texts --image-model ./my-clip           (a pair of models: texts and images)
  ./quantize.py ./my-model --min-cosine-p1 0.96              (accepts less than the default threshold)
  HF_TOKEN=hf_... ./quantize.py my-org/private-model --revision v2
  HF_HUB_OFFLINE=1 ./quantize.py BAAI/bge-small-en-v1.5      (downloaded before)

The default model comes with the build's environment. Other ids are downloaded from the Hugging Face hub;
HF_ENDPOINT names a mirror.
"""


def main(arguments: Sequence[str]) -> int:
    """Build what the arguments say. The table goes to standard output, everything else to standard error."""
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help="id on the Hugging Face hub, or a local model directory")
    parser.add_argument(
        "--arch",
        type=TARGETS,
        metavar=TARGETS.metavar,
        default=(host_target(),),
        help="CPU architecture that will serve the bundle; both makes a bundle for each in one build and appends the "
        "architecture to --output (default: this machine's)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"directory to create (default: {BUNDLES}/<model>[-<revision>]-<precision>-<arch>)",
    )
    parser.add_argument("--force", action="store_true", help="replace a bundle or an empty directory at --output")
    parser.add_argument(
        "--download-only",
        action="store_true",
        help="download the model and its code, and stop; HF_HUB_OFFLINE=1 then uses them",
    )
    add_model_options(parser)
    options = parser.read(arguments)
    action = _download if options.download_only else _build
    return run(PROGRAM, lambda: action(options), interrupted="nothing was left behind")


def _build(options: argparse.Namespace) -> int:
    build(options, _outputs(options))
    return 0


def _download(options: argparse.Namespace) -> int:
    _prepare()
    # NOTE: the imports need the packages.
    from build.model.fetch import fetch_models
    from build.progress import Progress

    with Progress().stage("fetch", options.model):
        fetch_models(model_names(options), trust.read_options(options))
    return 0


def add_model_options(parser: Parser) -> None:
    """Add the options that say how a model becomes a bundle."""
    parser.add_argument(
        "--precision",
        type=PRECISIONS,
        metavar=PRECISIONS.metavar,
        help="int8: 8-bit weights, run by the native kernels where they support the model's family, otherwise by "
        "onnxruntime's; int8-stock: 8-bit weights, run by onnxruntime's kernels; fp32: the original weights; stored: "
        "a static model's table as it is (default: stored for static models, int8 for others)",
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub (default: main)")
    parser.add_argument(
        "--image-model", metavar="MODEL", help="a CLIP model that reads images, where MODEL is one for texts alone"
    )
    parser.add_argument(
        "--image-revision", metavar="REVISION", help="branch, tag or commit of that one on the hub (default: main)"
    )
    trust.add_options(parser)
    thresholds.add_options(parser)


def model_names(options: argparse.Namespace) -> ModelNames:
    """The models that the arguments name."""
    return ModelNames(options.model, options.revision, options.image_model, options.image_revision)


def build(options: argparse.Namespace, outputs: Sequence[tuple[Target, Path | None]]) -> Path:
    """Build a bundle for each target at its path, and print the table; return the path of the first.

    A path that is None is named after what is built. Raises ``BuildError`` or ``OSError``.
    """
    _prepare()
    # NOTE: the import needs the packages.
    from build.pipeline import BuildOptions, build_bundle
    from build.progress import Progress
    from build.summary import summary

    (target, output), *extra_targets = outputs
    build_options = BuildOptions(
        model=options.model,
        revision=options.revision,
        target=target,
        precision=options.precision,
        output=output,
        force=options.force,
        trust=trust.read_options(options),
        thresholds=thresholds.read_options(options),
        extra_targets=tuple(extra_targets),
        image_model=options.image_model,
        image_revision=options.image_revision,
    )
    try:
        result = build_bundle(build_options, Progress())
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        advice = "make room, or choose another --output, or HF_HOME for downloads"
        raise OutOfDisk(f"the disk is full: {advice} ({system_message(error)})") from error
    (_, path), *others = result.outputs
    print(summary(result, path, others))
    return path


def _prepare() -> None:
    """Set what libraries read when they are imported. Raises ``SetupIncomplete`` where they are missing."""
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise SetupIncomplete(f"{sys.executable} lacks the build's packages: run `make setup` once, then try again")
    for name, value in LIBRARY_SETTINGS.items():
        os.environ.setdefault(name, value)


def _outputs(options: argparse.Namespace) -> list[tuple[Target, Path | None]]:
    """The targets, and where the bundle for each goes, as far as the user said so."""
    targets: tuple[Target, ...] = options.arch
    output: Path | None = options.output
    if output is None:
        return [(target, None) for target in targets]
    if len(targets) == 1:
        return [(targets[0], output)]
    return [(target, output.with_name(f"{output.name}-{target}")) for target in targets]
