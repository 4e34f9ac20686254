"""The command line of ``quantize.py``: arguments in, exit code out."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from build.bundle.staging import DISK_FULL
from build.errors import BuildError
from build.fidelity.thresholds import add_options, read_options
from build.host.machine import host_target
from build.model.default_model import MODEL
from build.model.trust import Trust
from build.pipeline import STAGES, Order, build_bundle
from build.progress import Progress
from build.summary import summary
from manifest import Precision, Target

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
BOTH = "both"

DESCRIPTION = "Turn a HuggingFace embedding model into a bundle that the CPU runtime serves."
EXAMPLES = f"""\
examples:
  ./quantize.py {MODEL}
  ./quantize.py BAAI/bge-small-en-v1.5 --arch arm64          (or --arch both)
  ./quantize.py ./my-model --precision fp32 --output bundles/mine
  ./quantize.py ./my-model --min-cosine-p1 0.96            (accepts what is below the default threshold)
  HF_TOKEN=hf_... ./quantize.py my-org/private-model --revision v2
  HF_HUB_OFFLINE=1 ./quantize.py BAAI/bge-small-en-v1.5     (downloaded before)

The default model comes with the build's environment; other ids are downloaded from the hub, HF_ENDPOINT names a mirror.
"""


def main(arguments: list[str]) -> int:
    """Build what the arguments say; the table goes to standard output, all else to standard error."""
    options = _parser().parse_args(arguments)
    (target, output), *extra_targets = _outputs(options)
    order = Order(
        model=options.model,
        revision=options.revision,
        target=target,
        precision=options.precision,
        output=output,
        force=options.force,
        trust=Trust(remote_code=options.trust_remote_code, pickle=options.allow_pickle),
        thresholds=read_options(options),
        extra_targets=tuple(extra_targets),
    )
    interrupted = _interruptions()
    try:
        delivery = build_bundle(order, Progress(STAGES))
    except BaseException as error:
        if interrupted:
            return _fail("interrupted: nothing was left behind", EXIT_INTERRUPTED)
        if isinstance(error, BuildError):
            return _fail(str(error), EXIT_FAILED)
        if isinstance(error, OSError):
            return _fail(_trouble(error), EXIT_FAILED)
        raise
    print(summary(delivery, order.output, order.extra_targets))
    return 0


def _outputs(options: argparse.Namespace) -> list[tuple[Target, Path]]:
    """The targets, and where each one's bundle goes."""
    if options.arch != BOTH:
        target = Target(options.arch)
        return [(target, options.output or default_output(options.model, options.precision, target))]
    if options.output is None:
        return [(target, default_output(options.model, options.precision, target)) for target in Target]
    return [(target, options.output.with_name(f"{options.output.name}-{target}")) for target in Target]


def default_output(model: str, precision: Precision, target: Target) -> Path:
    """``bundles/<model, lower case, slashes to dashes>-<precision>-<arch>``."""
    slug = model.rstrip("/").lstrip("./").lower().replace("/", "-") or "model"
    return Path("bundles") / f"{slug}-{precision}-{target}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantize.py",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="id on the HuggingFace hub, or a local model directory")
    parser.add_argument(
        "--arch",
        choices=[*Target, BOTH],
        default=host_target(),
        help="CPU architecture that will serve the bundle, or both: a bundle for each from one build, with the name of "
        "the architecture behind --output (default: this machine's)",
    )
    parser.add_argument(
        "--precision",
        type=Precision,
        choices=list(Precision),
        default=Precision.INT8,
        help="int8: 8-bit weights, in native kernels where the model's family has them, else in onnxruntime's; "
        "int8-stock: 8-bit weights in onnxruntime's kernels; fp32: the original's numbers (default: int8)",
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub (default: main)")
    parser.add_argument("--output", type=Path, help="directory to make (default: bundles/<model>-<precision>-<arch>)")
    parser.add_argument("--force", action="store_true", help="replace a bundle or an empty directory at --output")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code that the model brings; read it first"
    )
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="read weights from pytorch_model.bin where there is no model.safetensors (as data; no code is run)",
    )
    add_options(parser)
    return parser


def _interruptions() -> list[int]:
    """Let SIGINT and SIGTERM raise ``KeyboardInterrupt``, and keep count of them in the list.

    The list, because a module in C++ that is just being imported makes an ``ImportError`` of a ``KeyboardInterrupt``.
    """
    received: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return received


def _fail(message: str, status: int) -> int:
    print(f"quantize.py: {message}", file=sys.stderr)
    return status


def _trouble(error: OSError) -> str:
    """What the system says of a file that cannot be read or written, by name where it has one."""
    told = f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error)
    if error.errno in DISK_FULL:
        return f"the disk is full: make room, or choose another --output, or HF_HOME for downloads ({told})"
    return told
