"""The command line of ``make image``: a model or a bundle becomes a container image.

Needs Docker and Python's standard library alone: PyTorch and all else that a build needs is inside the image build.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from build.errors import BuildError, ModelNotFound
from build.fidelity.thresholds import Asked, add_options, read_options
from build.image.check_bundle import check_bundle
from build.image.context import build_context, link_files
from build.image.docker import Docker
from build.image.labels import image_labels, project_version
from build.model.fetch import is_path
from build.model.files import CONFIG, files_below, wanted_files
from build.model.trust import Trust
from build.paths import ROOT
from manifest import MANIFEST_FILE, BundleError, Manifest, Precision, Target

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
TAG = re.compile(r"(?:\w[\w.-]*(?::\d+)?/)?[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?(?::\w[\w.-]{0,127})?", re.ASCII)

DESCRIPTION = "Build a container image that serves one embedding model on CPUs. Needs Docker 20.10 or newer."
EXAMPLES = """\
examples:
  make image MODEL=BAAI/bge-small-en-v1.5 ARCH=arm64
  make image MODEL=./my-model TAG=registry.example/search:1      (a model directory; nothing of it is uploaded)
  make image BUNDLE=bundles/mine ARCH=amd64                      (a bundle that quantize.py made)
  make image MODEL=./my-model MIN_COSINE_P1=0.96                 (accepts what is below the default threshold)
  HF_TOKEN=hf_... make image MODEL=my-org/private-model REVISION=v2

environment:
  HF_TOKEN                                      for gated and private models; a build secret, never in the image
  HF_ENDPOINT, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, TORCH_LINKS    mirrors
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE                                proxies and certificates
  DOCKER_BUILD_ARGS                             more arguments for `docker build`, such as "--network host"

No emulator is needed for the other architecture. docs/images.md tells what is in an image, and how it is made.
"""


@dataclass(frozen=True)
class Order:
    """What the user asked for: a model to be exported, unless ``bundle`` is set."""

    model: str
    bundle: Path | None
    target: Target
    precision: Precision
    revision: str | None
    trust: Trust
    thresholds: Asked
    tag: str | None


def main(arguments: list[str]) -> int:
    """Build what the arguments say; docker's own progress passes through, the result goes to standard output."""
    options = _parser().parse_args(arguments)
    order = Order(
        model=options.model or "",
        bundle=options.bundle,
        target=options.arch,
        precision=options.precision,
        revision=options.revision,
        trust=Trust(remote_code=options.trust_remote_code, pickle=options.allow_pickle),
        thresholds=read_options(options),
        tag=options.tag,
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        print(build_image(order, Docker(ROOT)))
    except KeyboardInterrupt:
        return _fail("interrupted: no image was made, and nothing was left behind", EXIT_INTERRUPTED)
    except (BuildError, BundleError) as error:
        return _fail(str(error), EXIT_FAILED)
    return 0


def build_image(order: Order, docker: Docker) -> str:
    """Make the image and return what to tell about it. Raises ``BuildError`` or ``BundleError``."""
    if order.tag is not None and not TAG.fullmatch(order.tag):
        raise BuildError(f"TAG is {order.tag!r}, which is not a name for an image: use one like cpu2vec:my-model")
    with build_context(ROOT) as context:
        manifest = (
            _take_bundle(order.bundle, order, docker, context) if order.bundle else _export(order, docker, context)
        )
        tag = order.tag or default_tag(manifest)
        arguments = {
            "BUNDLE_FROM": "context",
            "CONTEXT": str(context.relative_to(ROOT)),
            "MODEL": manifest.model,
            "PRECISION": manifest.precision,
        }
        labels = image_labels(manifest, project_version(ROOT))
        options = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        docker.build(order.target, arguments, ["--tag", tag, *options])
    bundle = sum(entry.size for entry in manifest.files.values())
    return (
        f"image      {tag}\n"
        f"model      {manifest.model}, {manifest.precision} for {manifest.target}\n"
        f"size       {docker.image_size(tag) / 1e6:.1f} MB, {bundle / 1e6:.1f} MB of it the bundle\n"
        f"run it     docker run --rm -p 8080:8080 {tag}"
    )


def default_tag(manifest: Manifest) -> str:
    """``cpu2vec:<model, lower case, slashes to dashes>-<arch>``, without what a tag may not hold."""
    slug = re.sub(r"[^a-z0-9_.]+", "-", manifest.model.lower()).strip("-.") or "model"
    return f"cpu2vec:{slug[:100]}-{manifest.target}"


def _take_bundle(bundle: Path, order: Order, docker: Docker, context: Path) -> Manifest:
    manifest = check_bundle(bundle, order.target)
    docker.require_engine()
    link_files(bundle, [*manifest.files, MANIFEST_FILE], context / "bundle")
    return manifest


def _export(order: Order, docker: Docker, context: Path) -> Manifest:
    """Run the export stage and take its bundle out into ``context``."""
    arguments = {
        "PRECISION": order.precision,
        **order.thresholds.build_arguments(),
        **_model_arguments(order, context),
    }
    docker.require_engine()
    output = f"type=local,dest={context.relative_to(ROOT)}/bundle"
    docker.build(order.target, arguments, ["--target", "bundle-from-model", "--output", output])
    return check_bundle(context / "bundle", order.target)


def _model_arguments(order: Order, context: Path) -> dict[str, str]:
    """Build arguments that name the model; a local one's files are put into ``context``."""
    trust = {
        **({"TRUST_REMOTE_CODE": "1"} if order.trust.remote_code else {}),
        **({"ALLOW_PICKLE": "1"} if order.trust.pickle else {}),
    }
    if not is_path(order.model):
        revision = {"REVISION": order.revision} if order.revision else {}
        return {"MODEL": order.model, **revision, **trust}
    directory = Path(order.model).expanduser().absolute()
    if not directory.is_dir():
        raise ModelNotFound(f"{directory} is not a directory")
    if not (directory / CONFIG).is_file():
        raise ModelNotFound(f"{directory} has no {CONFIG}: not a model directory")
    link_files(directory, wanted_files(files_below(directory), order.trust), context / "model")
    local = {"MODEL_FROM": "context", "CONTEXT": str(context.relative_to(ROOT)), "MODEL": f"/models/{directory.name}"}
    return {**local, **trust}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make image",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--model", help="id on the HuggingFace hub, or a local model directory")
    given.add_argument("--bundle", type=Path, help="a bundle made by quantize.py, instead of a model")
    parser.add_argument(
        "--arch", type=Target, choices=list(Target), required=True, help="CPU architecture of the image"
    )
    parser.add_argument(
        "--precision",
        type=Precision,
        choices=list(Precision),
        default=Precision.INT8,
        help="how weights are stored (default: int8); a bundle has its own already",
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub (default: main)")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code that the model brings; read it first"
    )
    parser.add_argument("--allow-pickle", action="store_true", help="read weights that are pickled, as data alone")
    add_options(parser)
    parser.add_argument("--tag", help="the image's name (default: cpu2vec:<model>-<arch>)")
    return parser


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, status: int) -> int:
    print(f"make image: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
