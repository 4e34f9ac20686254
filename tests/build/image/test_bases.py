"""``make bases``, from arguments to docker's command lines."""

from __future__ import annotations

import pytest

from build.image.bases import RUNTIME_BASES
from build.image.labels import describe_project, project_labels
from build.image.rootfs import UNUSED_BY_KIND, UNUSED_OF_PILLOW
from manifest import Kind, Target
from tests.support.image.fake_docker import FakeDocker
from tests.support.paths import ROOT

VERSION = (ROOT / "VERSION").read_text().strip()
HOST = Target.of_machine()


def run_bases(docker: FakeDocker, *arguments: str):
    return docker.run(*arguments, module="build.image.bases")


@pytest.mark.parametrize("target", Target)
def test_runtime_bases_are_for_the_architecture_and_the_build_base_is_for_this_machine(
    docker: FakeDocker, target: Target
):
    ran = run_bases(docker, "--arch", target)
    assert (ran.returncode, ran.stderr) == (0, "")
    build, runtime, static = docker.calls
    for call, platform in ((build, HOST), (runtime, target), (static, target)):
        assert call.option("--file") == [f"Dockerfile.{platform}"]
        assert call.option("--platform") == [f"linux/{platform}"]
    assert (build.option("--target"), build.arguments) == (["build-base"], {})
    for call, kind in ((runtime, "clip"), (static, "static")):
        assert call.option("--target") == ["runtime"]
        assert call.arguments == {"KIND_FROM": "argument", "KIND": kind}
    assert [tag for call in docker.calls for tag in call.option("--tag")] == [
        f"cpu2vec-build:{VERSION}-{HOST}",
        f"cpu2vec-runtime:{VERSION}-{target}",
        f"cpu2vec-runtime-static:{VERSION}-{target}",
    ]
    assert [line.split()[0] for line in ran.stdout.splitlines()] == [call.option("--tag")[0] for call in docker.calls]
    expected = project_labels(describe_project(ROOT)) | {"org.opencontainers.image.title": "cpu2vec-runtime"}
    assert runtime.labels == expected


@pytest.mark.parametrize("registry", ["registry.example", "127.0.0.1:5000", "ghcr.io/my-org/search"])
def test_a_registry_goes_before_the_names(docker: FakeDocker, registry: str):
    assert run_bases(docker, "--arch", "arm64", "--registry", registry).returncode == 0
    assert docker.calls[1].option("--tag") == [f"{registry}/cpu2vec-runtime:{VERSION}-arm64"]


@pytest.mark.parametrize("registry", ["", "https://ghcr.io", "ghcr.io/", "a b", "ghcr.io/Upper"])
def test_what_is_no_registry_is_refused(docker: FakeDocker, registry: str):
    ran = run_bases(docker, "--arch", "arm64", f"--registry={registry}")
    assert (ran.returncode, docker.calls) == (1, [])
    assert ran.stderr.endswith(
        f"REGISTRY must be what stands before an image's name, as ghcr.io/my-org, not {registry!r}\n"
    )


def test_a_build_that_fails_is_reported_in_one_line(docker: FakeDocker):
    (docker.home / "fail").write_text("cpu2vec: no file matches the row\n")
    ran = run_bases(docker, "--arch", "arm64")
    assert ran.returncode == 1
    assert ran.stderr.endswith("the image was not built: no file matches the row\n")


def test_the_first_runtime_base_leaves_nothing_out_that_another_kind_needs():
    """Each other kind leaves out the same or more, so that one image serves bundles of all."""
    left_out = {kind: {row.why for row in rows} for kind, rows in UNUSED_BY_KIND.items()}
    assert set(left_out) == set(Kind)
    of_all = left_out[RUNTIME_BASES[0].kind]
    of_images = {row.why for row in UNUSED_OF_PILLOW}
    of_graphs = {row for row in of_all if "onnxruntime" in row or "tools that make" in row}
    whole_packages = {"text": of_images, "rerank": of_images, "static": of_images | of_graphs}
    for kind, rows in left_out.items():
        assert of_all - rows <= whole_packages.get(kind, set())
