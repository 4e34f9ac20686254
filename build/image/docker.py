"""Runs the ``docker`` command, without a shell. The only module that knows its arguments and passes it secrets."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from build.errors import DockerFailed, InvalidOption
from build.image.terminal import run_and_watch
from manifest import Target

ENGINE_SECONDS = 60
"""An engine that does not answer within this time cannot be reached."""

PROXIES = tuple(
    spelling for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY") for spelling in (name, name.lower())
)
"""Docker passes these to the build's commands without storing them."""

URL_ARGUMENTS = ("HF_ENDPOINT", "TORCH_LINKS")
"""These URLs are build arguments, which a build's output and records show, so they must not hold a password."""

BUILD_ARGUMENTS = (*URL_ARGUMENTS, "HF_HUB_OFFLINE")
"""These variables of the environment become build arguments."""

PIP_SETTINGS = {
    "PIP_INDEX_URL": "index-url",
    "PIP_EXTRA_INDEX_URL": "extra-index-url",
    "PIP_FIND_LINKS": "find-links",
}
"""These URLs often hold a password. They are passed as a secret, a file in pip's own format."""

PIP_CONF = "CPU2VEC_PIP_CONF"
"""The variable of ``docker``'s environment that holds that file."""

OWN_ERROR = re.compile(r"\b(?:quantize\.py|build\.kernels|cpu2vec): (.+)")
"""The project's own programs report errors like this inside a build."""


class Docker:
    """The engine that ``docker`` reaches, with a build context and the settings and secrets of an environment."""

    def __init__(self, root: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._root = root
        self._environment = {
            **environment,
            "DOCKER_BUILDKIT": "1",
            # NOTE: newer engines would add a provenance.json to the bundle that the export stage returns.
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            PIP_CONF: pip_configuration(environment),
        }

    def require_engine(self) -> None:
        """Raise ``DockerFailed`` unless an engine answers."""
        if shutil.which("docker", path=self._environment.get("PATH")) is None:
            raise DockerFailed("docker is not on PATH: install Docker 20.10 or newer")
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        try:
            answer = self._capture(command, timeout=ENGINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise DockerFailed(f"the Docker engine did not answer within {ENGINE_SECONDS} s") from None
        if answer.returncode != 0:
            reason = answer.stderr.strip().splitlines() or ["docker version failed"]
            raise DockerFailed(f"the Docker engine cannot be reached: {reason[-1]}")

    def build(self, target: Target, arguments: Mapping[str, str], options: list[str]) -> None:
        """Run ``docker build`` on the Dockerfile of one architecture.

        Raises ``DockerFailed``, and ``InvalidOption`` for a variable of the environment that cannot be used.
        """
        command = ["docker", "build", "--file", f"Dockerfile.{target}", "--platform", f"linux/{target}"]
        command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        command += [*options, *self._from_environment(), "."]
        status, errors = run_and_watch(command, self._root, self._environment)
        if status != 0:
            reported = OWN_ERROR.findall(errors)
            reason = reported[-1].strip() if reported else f"docker build ended with status {status}, see above"
            raise DockerFailed(f"the image was not built: {reason}")

    def image_size(self, tag: str) -> int:
        """Bytes of all layers, uncompressed. Raises ``DockerFailed`` if the engine does not have the image."""
        answer = self._capture(["docker", "image", "inspect", "--format", "{{.Size}}", tag])
        if answer.returncode != 0:
            raise DockerFailed(
                f"docker build succeeded, but the engine does not have {tag}: does DOCKER_BUILD_ARGS send it elsewhere?"
            )
        return int(answer.stdout)

    def inspect(self, tag: str) -> dict[str, Any]:
        """What the engine knows about an image. Raises ``DockerFailed``."""
        answer = self._capture(["docker", "image", "inspect", tag])
        if answer.returncode != 0:
            raise DockerFailed(f"the engine does not have the image {tag}")
        (image,) = json.loads(answer.stdout)
        return dict(image)

    def read_files(self, tag: str, wanted: Callable[[str], bool]) -> dict[str, bytes]:
        """Content by path, without a leading slash, of the regular files in an image whose path is wanted.

        No program of the image is run. Raises ``DockerFailed``.
        """
        # NOTE: a container needs a command, which is never started.
        created = self._capture(["docker", "create", "--entrypoint", "/none", tag])
        if created.returncode != 0:
            raise DockerFailed(f"the image {tag} cannot be read: {created.stderr.strip()}")
        name = created.stdout.strip().splitlines()[-1]
        command = ["docker", "export", name]
        try:
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=self._environment) as exporting:
                return _read_archive(exporting.stdout, wanted)
        finally:
            self._capture(["docker", "rm", name])

    def _capture(self, command: list[str], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=timeout)

    def _from_environment(self) -> list[str]:
        """Arguments that only name variables: docker reads the values itself, so that no list of processes shows them.

        Raises ``InvalidOption``.
        """
        environment = self._environment
        for name in URL_ARGUMENTS:
            if "@" in urlsplit(environment.get(name, "")).netloc:
                raise InvalidOption(
                    f"{name} must not hold a user or password, since build arguments are not secret: use a URL "
                    "without them, or for wheels set TORCH_LINKS= and PIP_FIND_LINKS to it"
                )
        words = [word for name in (*BUILD_ARGUMENTS, *PROXIES) if name in environment for word in ("--build-arg", name)]
        if environment.get("HF_TOKEN"):
            words += ["--secret", "id=hf_token,env=HF_TOKEN"]
        if environment[PIP_CONF]:
            words += ["--secret", f"id=pip_conf,env={PIP_CONF}"]
        if certificates := environment.get("SSL_CERT_FILE"):
            if not Path(certificates).is_file():
                raise InvalidOption(f"SSL_CERT_FILE must be a file, not {certificates}")
            words += ["--secret", f"id=ca_certificates,src={certificates}"]
        try:
            return words + shlex.split(environment.get("DOCKER_BUILD_ARGS", ""))
        except ValueError as error:
            raise InvalidOption(f"DOCKER_BUILD_ARGS cannot be split into words: {error}") from None


def _read_archive(archive: IO[bytes] | None, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    with tarfile.open(fileobj=archive, mode="r|") as files:
        return {
            member.name: content.read()
            for member in files
            if member.isreg() and wanted(member.name) and (content := files.extractfile(member))
        }


def pip_configuration(environment: Mapping[str, str]) -> str:
    """A pip.conf with the user's package indexes, without paths of this machine, which mean nothing in a build."""
    lines = []
    for name, option in PIP_SETTINGS.items():
        urls = [url for url in environment.get(name, "").split() if url.startswith(("http://", "https://"))]
        if urls:
            lines.append("\n  ".join([f"{option} =", *urls]))
    return "\n".join(["[global]", *lines, ""]) if lines else ""
