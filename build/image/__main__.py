"""The command line of ``make image``: a model or a bundle in, a container image out.

Needs only Docker and Python's standard library, on any system: PyTorch and the rest of a build are inside the image
build.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from build.command_line import ARCHITECTURES, Parser, choice_of, run
from build.fidelity import thresholds
from build.image.build_image import ImageOptions, build_image, summary
from build.image.docker import Docker
from build.model import trust
from build.paths import ROOT
from manifest import Precision

PROGRAM = "build.image"
PRECISIONS = choice_of(Precision)

DESCRIPTION = "Build a container image that serves one embedding model on CPUs. Needs Docker 20.10 or newer."
EXAMPLES = """\
examples:
  make image MODEL=BAAI/bge-small-en-v1.5 ARCH=arm64
  make image MODEL=./my-model TAG=registry.example/search:1      (a model directory; nothing is uploaded)
  make image BUNDLE=bundles/mine ARCH=amd64                      (a bundle that quantize.py made)
  make image MODEL=sentence-transformers/clip-ViT-B-32-multilingual-v1 IMAGE_MODEL=sentence-transformers/clip-ViT-B-32
  make image MODEL=./my-model MIN_COSINE_P1=0.96                 (accepts less than the default threshold)
  HF_TOKEN=hf_... make image MODEL=my-org/private-model REVISION=v2

environment:
  HF_TOKEN                                      for gated and private models; a build secret, never in the image
  HF_ENDPOINT, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, TORCH_LINKS    mirrors
  HF_HUB_OFFLINE=1                              use a model that an earlier image build downloaded
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE                                proxies and certificates
  DOCKER_BUILD_ARGS                             more arguments for `docker build`, such as "--network host"

The other architecture needs no emulator. docs/images.md says what is in an image, and how it is made.
"""


def main(arguments: list[str]) -> int:
    """Build the image; Docker's own progress passes through, and the summary goes to standard output."""
    options = _parser().read(arguments)
    return run(PROGRAM, lambda: _build(options), "no image was made, and nothing was left behind")


def _build(given: Namespace) -> int:
    options = ImageOptions(
        model=given.model or "",
        bundle=given.bundle,
        target=given.arch,
        precision=given.precision,
        revision=given.revision,
        trust=trust.read_options(given),
        thresholds=thresholds.read_options(given),
        tag=given.tag,
        image_model=given.image_model,
        image_revision=given.image_revision,
    )
    print(summary(build_image(options, Docker(ROOT))))
    return 0


def _parser() -> Parser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="id on the Hugging Face hub, or a local model directory")
    source.add_argument("--bundle", type=Path, help="a bundle made by quantize.py, instead of a model")
    parser.add_argument(
        "--arch",
        type=ARCHITECTURES,
        required=True,
        metavar=ARCHITECTURES.metavar,
        help="CPU architecture of the image",
    )
    parser.add_argument(
        "--precision",
        type=PRECISIONS,
        metavar=PRECISIONS.metavar,
        help="how weights are stored (default: stored for static models, int8 for others); a bundle keeps its own",
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub (default: main)")
    parser.add_argument("--image-model", help="a CLIP model that reads images, where --model is one for texts alone")
    parser.add_argument("--image-revision", help="branch, tag or commit of that one on the hub (default: main)")
    trust.add_options(parser)
    thresholds.add_options(parser)
    parser.add_argument("--tag", help="the image's name (default: cpu2vec:<model>[-<revision>]-<precision>-<arch>)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
