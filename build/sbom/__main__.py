"""The command line of ``make sbom``: an image in, a CycloneDX document on standard output."""

from __future__ import annotations

import sys

from build.command_line import Parser, run
from build.errors import DockerFailed
from build.image.docker import Docker
from build.paths import ROOT
from build.sbom.contents import is_read, read_contents
from build.sbom.document import write_document

PROGRAM = "build.sbom"
DESCRIPTION = "List what is in an image: a CycloneDX document on standard output."


def main(arguments: list[str]) -> int:
    """Write the document."""
    parser = Parser(PROGRAM, DESCRIPTION)
    parser.add_argument("--image", required=True, help="an image that the Docker engine has")
    options = parser.read(arguments)
    return run(PROGRAM, lambda: _write(options.image, Docker(ROOT)), "nothing was written")


def _write(tag: str, docker: Docker) -> int:
    docker.require_engine()
    image = docker.inspect(tag)
    try:
        contents = read_contents(docker.read_files(tag, is_read))
    except KeyError as error:
        raise DockerFailed(f"{tag} is not an image of this project: it has no {error.args[0]}") from None
    print(write_document(tag, image["Id"], image["Architecture"], contents))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
