"""What docker gets: secrets and passwords on no command line, and settings that it can use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from build.errors import DockerFailed
from build.image.docker import Docker, pip_configuration
from tests.support.image.fake_docker import FakeDocker
from tests.support.paths import ROOT


def test_secrets_and_passwords_are_on_no_command_line(docker: FakeDocker, tmp_path: Path):
    certificates = tmp_path / "ca.pem"
    certificates.write_text("certificate")
    ran = docker.run(
        *("--model", "org/model", "--arch", "arm64"),
        HF_TOKEN="hf_s3cret",
        HF_ENDPOINT="https://hub.example",
        HF_HUB_OFFLINE="1",
        TORCH_LINKS="",
        PIP_INDEX_URL="https://user:s3cret@wheels.example/simple",
        https_proxy="http://user:s3cret@proxy.example",
        SSL_CERT_FILE=str(certificates),
        DOCKER_BUILD_ARGS="--network host --label 'a=b c'",
    )
    assert ran.returncode == 0
    assert "s3cret" not in ran.stdout + ran.stderr
    for call in docker.calls:
        assert "s3cret" not in json.dumps(call.words)
        assert call.option("--build-arg")[-4:] == ["HF_ENDPOINT", "TORCH_LINKS", "HF_HUB_OFFLINE", "https_proxy"]
        assert call.option("--secret") == [
            "id=hf_token,env=HF_TOKEN",
            "id=pip_conf,env=CPU2VEC_PIP_CONF",
            f"id=ca_certificates,src={certificates}",
        ]
        assert call.environment["HF_TOKEN"] == "hf_s3cret"
        assert (
            call.environment["CPU2VEC_PIP_CONF"]
            == "[global]\nindex-url =\n  https://user:s3cret@wheels.example/simple\n"
        )
        assert call.words[-5:] == ["--network", "host", "--label", "a=b c", "."]


def test_a_pip_configuration_only_names_urls():
    assert pip_configuration({}) == ""
    assert pip_configuration({"PIP_FIND_LINKS": "/opt/wheels", "PIP_EXTRA_INDEX_URL": "file:///opt/simple"}) == ""
    several = {"PIP_EXTRA_INDEX_URL": "https://a.example/x https://b.example/y", "PIP_FIND_LINKS": "https://c.example"}
    assert pip_configuration(several) == (
        "[global]\nextra-index-url =\n  https://a.example/x\n  https://b.example/y\nfind-links =\n  https://c.example\n"
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TORCH_LINKS": "https://user:pw@wheels.example/"}, "TORCH_LINKS must not hold a user or password"),
        ({"HF_ENDPOINT": "https://token@hub.example"}, "HF_ENDPOINT must not hold a user or password"),
        ({"SSL_CERT_FILE": "/no/such.pem"}, "SSL_CERT_FILE must be a file, not /no/such.pem"),
        ({"DOCKER_BUILD_ARGS": "--label 'a"}, "DOCKER_BUILD_ARGS cannot be split into words: No closing quotation"),
    ],
)
def test_a_bad_environment_is_one_line(docker: FakeDocker, environment: dict[str, str], words: str):
    ran = docker.run("--model", "org/model", "--arch", "amd64", **environment)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert words in ran.stderr
    assert not docker.calls


def test_an_image_that_the_engine_does_not_have_is_reported(tmp_path: Path):
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(DockerFailed, match="the engine does not have a:b"):
        Docker(ROOT, {"PATH": f"{tmp_path}:{os.defpath}"}).image_size("a:b")
