"""Runs the ``docker`` command, without a shell: the only module that knows its arguments and hands it secrets."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from build.errors import BuildError
from manifest import Target

ENGINE_SECONDS = 60
PROXIES = tuple(
    spelling for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY") for spelling in (name, name.lower())
)
"""Docker hands these to the build's commands without keeping them."""

MIRRORS = ("HF_ENDPOINT", "TORCH_LINKS")
"""Build arguments: they show in the build's output and records, so that they must not hold a password."""

PIP_SETTINGS = {
    "PIP_INDEX_URL": "index-url",
    "PIP_EXTRA_INDEX_URL": "extra-index-url",
    "PIP_FIND_LINKS": "find-links",
}
"""Often with a password; they travel as a secret of pip's own configuration format."""

PIP_CONF = "CPU2VEC_PIP_CONF"


class Docker:
    """``root`` is the build context; ``environment`` is where settings and secrets are read."""

    def __init__(self, root: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._root = root
        self._environment = {
            **environment,
            "DOCKER_BUILDKIT": "1",
            # NOTE: newer engines would add a provenance.json to the bundle that comes out of the export stage.
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            PIP_CONF: pip_configuration(environment),
        }

    def require_engine(self) -> None:
        """Raises ``BuildError`` where no engine answers."""
        if shutil.which("docker", path=self._environment.get("PATH")) is None:
            raise BuildError("docker is not on PATH: install Docker 20.10 or newer")
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        try:
            answer = self._capture(command, timeout=ENGINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise BuildError(f"the Docker engine did not answer within {ENGINE_SECONDS} s") from None
        if answer.returncode != 0:
            reason = answer.stderr.strip().splitlines() or ["docker version failed"]
            raise BuildError(f"the Docker engine cannot be reached: {reason[-1]}")

    def build(self, target: Target, arguments: Mapping[str, str], options: list[str]) -> None:
        """``docker build`` of one architecture's Dockerfile. Raises ``BuildError`` if it fails or cannot be started."""
        command = ["docker", "build", "--file", f"Dockerfile.{target}", "--platform", f"linux/{target}"]
        command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        command += [*options, *self._from_environment(), "."]
        status = subprocess.run(command, cwd=self._root, env=self._environment).returncode
        if status != 0:
            raise BuildError(f"docker build failed with status {status}: its output above says why")

    def image_size(self, tag: str) -> int:
        """Bytes of all layers, uncompressed. Raises ``BuildError`` where the engine has no such image."""
        answer = self._capture(["docker", "image", "inspect", "--format", "{{.Size}}", tag])
        if answer.returncode != 0:
            raise BuildError(
                f"docker build ended well, and the engine has no image {tag}: was it told to put it elsewhere?"
            )
        return int(answer.stdout)

    def _capture(self, command: list[str], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=timeout)

    def _from_environment(self) -> list[str]:
        """Names only: docker reads the values from its environment, so that no list of processes shows them."""
        environment = self._environment
        for name in MIRRORS:
            if "@" in urlsplit(environment.get(name, "")).netloc:
                raise BuildError(
                    f"{name} holds a user or password, and build arguments are not kept secret: name a page without, "
                    "or for wheels set TORCH_LINKS= and PIP_FIND_LINKS to it"
                )
        words = [word for name in (*MIRRORS, *PROXIES) if name in environment for word in ("--build-arg", name)]
        if environment.get("HF_TOKEN"):
            words += ["--secret", "id=hf_token,env=HF_TOKEN"]
        if environment[PIP_CONF]:
            words += ["--secret", f"id=pip_conf,env={PIP_CONF}"]
        if certificates := environment.get("SSL_CERT_FILE"):
            if not Path(certificates).is_file():
                raise BuildError(f"SSL_CERT_FILE names no file: {certificates}")
            words += ["--secret", f"id=ca_certificates,src={certificates}"]
        try:
            return words + shlex.split(environment.get("DOCKER_BUILD_ARGS", ""))
        except ValueError as error:
            raise BuildError(f"DOCKER_BUILD_ARGS cannot be split into words: {error}") from None


def pip_configuration(environment: Mapping[str, str]) -> str:
    """A pip.conf with the user's package indexes; paths of this machine mean nothing in a build and are left out."""
    lines = []
    for name, option in PIP_SETTINGS.items():
        urls = [url for url in environment.get(name, "").split() if url.startswith(("http://", "https://"))]
        if urls:
            lines.append("\n  ".join([f"{option} =", *urls]))
    return "\n".join(["[global]", *lines, ""]) if lines else ""
