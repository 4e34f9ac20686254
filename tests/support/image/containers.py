"""Builds images as a user does, runs containers locked down, and talks to the servers in them."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from manifest import Target
from tests.support.image.emulation import emulated_cpu, write_cpuinfo
from tests.support.paths import ROOT

HOST = Target.ARM64 if platform.machine() == "aarch64" else Target.AMD64
READY_SECONDS = 600
LOCKED = (
    *("--read-only", "--cap-drop=ALL", "--security-opt", "no-new-privileges"),
    *("--user", "12345:12345", "--network", "none"),
)
"""As locked down as a cluster may run it."""

CLIENT = """
import http.client, json, os, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8080), timeout=600)
def ask(method, path, body=None):
    connection.request(method, path, json.dumps(body) if body else None)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
"""


class Container:
    """One running image. Talks to the server with the image's own Python, because nothing else is in reach."""

    def __init__(self, image: str, *options: str) -> None:
        self.name = docker("run", "--detach", *options, image).strip().splitlines()[-1]

    def python(self, code: str, given: object = None) -> str:
        """What ``code`` prints, which may call ``ask``; ``given`` is its standard input, as JSON."""
        return docker(*self.command(code), given=json.dumps(given))

    def command(self, code: str) -> list[str]:
        """The words after ``docker`` that run ``code`` in the container."""
        return ["exec", "--interactive", self.name, "/usr/bin/python3.11", "-c", CLIENT + code]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        ask = "try:\n    print(ask('GET', '/.well-known/ready')[0])\nexcept OSError as error:\n    print(error)"
        while self.state["Running"] and time.monotonic() < deadline:
            try:
                if self.python(ask).strip() == "204":
                    return
            except AssertionError:  # It ended in between.
                break
            time.sleep(0.2)
        pytest.fail(f"the container does not turn ready; it says:\n{self.log()}")

    def log(self, *options: str) -> str:
        command = ["docker", "logs", *options, self.name]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    @property
    def state(self) -> dict[str, Any]:
        """What Docker knows about it now."""
        state: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", self.name))
        return state

    def remove(self) -> None:
        docker("rm", "--force", self.name)


def require_engine() -> None:
    """Fail where there is no Docker engine."""
    if shutil.which("docker") is None:
        pytest.fail("these tests need Docker, and there is none on PATH")
    engine = subprocess.run(["docker", "version"], capture_output=True, text=True)
    if engine.returncode != 0:
        pytest.fail(f"these tests need a Docker engine: {engine.stderr.strip()}")


def docker(*words: str, given: str | None = None) -> str:
    """What the command prints; fails where it fails."""
    ran = subprocess.run(["docker", *words], input=given, capture_output=True, text=True)
    assert ran.returncode == 0, f"docker {words[0]} failed: {ran.stderr.strip()}"
    return ran.stdout


def emulation(target: Target, directory: Path) -> list[str]:
    """Options for an arm64 container on amd64, as docs/images.md has them.

    QEMU shows the host's /proc/cpuinfo, from which onnxruntime counts cores, and crashes. So the container gets one
    that fits the processor that QEMU simulates.
    """
    if target is HOST or target is Target.AMD64:
        return []
    return ["--volume", f"{write_cpuinfo(directory)}:/proc/cpuinfo:ro", "--env", f"QEMU_CPU={emulated_cpu()}"]


def make_image(*variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make image` says and does for a user, who does not call it from another make."""
    return run_make("image", *variables, **environment)


def run_make(target: str, *variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same for any target."""
    outer_make = {"MAKELEVEL", "MAKEFLAGS", "MFLAGS"}
    inherited = {name: value for name, value in os.environ.items() if name not in outer_make}
    return subprocess.run(
        ["make", target, *variables],
        cwd=ROOT,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def archive(tag: str, target: Target) -> tarfile.TarFile:
    """Everything in an image's file system, by path without a leading slash."""
    name = docker("create", "--platform", f"linux/{target}", tag).strip().splitlines()[-1]
    try:
        exported = subprocess.run(["docker", "export", name], check=True, capture_output=True).stdout
    finally:
        docker("rm", name)
    return tarfile.open(fileobj=io.BytesIO(exported))


def inspect(tag: str) -> dict[str, Any]:
    """What Docker knows about an image."""
    (image,) = json.loads(docker("image", "inspect", tag))
    return dict(image)
