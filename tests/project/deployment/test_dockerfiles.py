"""The Dockerfiles: alike except for the architecture, no secret in a layer, and only what is needed in the image."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build.fidelity.thresholds import OPTIONS
from build.image.export_model import SWITCHES, VALUES
from build.image.rootfs import USER_ID
from tests.support.paths import ROOT

DOCKERFILES = {target: (ROOT / f"Dockerfile.{target}").read_text() for target in ("amd64", "arm64")}
BOTH = pytest.mark.parametrize("text", DOCKERFILES.values(), ids=DOCKERFILES)


def instructions(text: str) -> list[str]:
    """Instructions with continuation lines joined, without comments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines() if line.strip()]


def stages(text: str) -> dict[str, list[str]]:
    """Instructions by stage. The last stage, which has no name, is "image"; what is before the first is ""."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for instruction in instructions(text):
        if instruction.startswith("FROM "):
            _, _, alias = instruction.partition(" AS ")
            name = alias or "image"
            found[name] = []
        found[name].append(instruction)
    return found


def taken(lines: list[str]) -> set[str]:
    """The files that a stage copies from the build context."""
    copies = [line for line in lines if line.startswith("COPY ") and "--from=" not in line]
    return {name for line in copies for name in line.split()[1:-1]}


def test_the_export_stages_are_the_same():
    amd64, arm64 = (stages(DOCKERFILES[target]) for target in ("amd64", "arm64"))
    expected = {
        "python",
        "compiler",
        "kernels",
        "environments",
        "tools",
        "model-from-hub",
        "model-from-context",
        "export",
    }
    assert expected <= set(amd64)
    assert {name: amd64[name] for name in amd64 if name} == {name: arm64[name] for name in arm64 if name}


def test_the_files_differ_in_the_architecture_alone():
    arm64 = DOCKERFILES["arm64"].replace("arm64v8/", "amd64/").replace("arm64", "amd64").replace("aarch64", "x86_64")
    assert arm64 == DOCKERFILES["amd64"]


@BOTH
def test_nothing_is_needed_that_dockers_oldest_buildkit_lacks(text: str):
    assert "syntax=" not in text
    assert "<<" not in text
    assert "COPY --link" not in text


@BOTH
def test_every_stage_with_commands_runs_on_the_platform_that_builds(text: str):
    found = stages(text)
    for lines in found.values():
        if any(line.startswith("RUN ") for line in lines):
            base = lines[0].split()[1]
            assert base == "--platform=$BUILDPLATFORM" or base.split("$")[0].rstrip("-") in (*found, "model-from")
    assert [name for name, lines in found.items() if lines and "BUILDPLATFORM" in lines[0]] == ["python"]


@BOTH
def test_what_changes_often_comes_after_what_takes_long(text: str):
    order = [line for name in ("environments", "tools", "export") for line in stages(text)[name]]
    installs = [number for number, line in enumerate(order) if "pip install" in line]
    models = [
        number for number, line in enumerate(order) if line.startswith(("COPY runtime", "COPY build/ ", "ARG MODEL"))
    ]
    assert len(installs) == 3
    assert max(installs) < min(models)


@BOTH
def test_packages_are_installed_by_their_hashes(text: str):
    installs = [line for line in instructions(text) if "pip install" in line]
    assert len(installs) == 5
    for line in installs:
        assert "--no-deps" in line
        assert "--require-hashes" in line


@BOTH
def test_secrets_are_mounted_and_never_arguments_or_variables(text: str):
    for line in instructions(text):
        if line.startswith(("ARG ", "ENV ", "LABEL ")):
            assert not re.search(r"HF_TOKEN|PASSWORD|SECRET_|CREDENTIAL|INDEX_URL", line, re.IGNORECASE)
        if "hf_token" in line:
            assert "--mount=type=secret,id=hf_token " in line
            # A file's name for the hub's library, which reads it itself: the token is in no command either.
            assert "HF_TOKEN_PATH=/run/secrets/hf_token" in line
    assert text.count("HF_TOKEN") == 1
    assert "/run/secrets/" not in "\n".join([*stages(text)["runtime"], *stages(text)["image"]])


@BOTH
def test_the_models_code_runs_without_the_token_and_offline(text: str):
    download, build = [line for line in stages(text)["export"] if line.startswith("RUN ")]
    assert "--mount=type=secret,id=hf_token " in download
    assert download.endswith(" -m build.image.download_model")
    assert build == "RUN HF_HUB_CACHE=/hub HF_HUB_OFFLINE=1 .venv/build/bin/python -m build.image.export_model"


@BOTH
def test_the_export_stage_declares_every_argument_that_its_command_reads(text: str):
    export = stages(text)["export"]
    declared = {line.removeprefix("ARG ").partition("=")[0] for line in export if line.startswith("ARG ")}
    assert declared - {"HF_ENDPOINT", "HF_HUB_OFFLINE"} == {"MODEL", *VALUES, *SWITCHES}
    (build,) = [line for line in export if "build.image.export_model" in line]
    assert build.startswith("RUN ")


@BOTH
def test_thresholds_only_reach_the_export_stage(text: str):
    for option in OPTIONS:
        assert text.count(option.variable) == stages(text)["export"].count(f"ARG {option.variable}") == 1


@BOTH
def test_the_application_leaves_files_out_by_the_bundles_kind(text: str):
    application = stages(text)["application"]
    pruned = application.index("COPY --from=kind /kind /") + 1
    assert application[pruned].endswith(
        ' PYTHONHASHSEED=0 python3 build/image/rootfs.py application "$(cat /kind)" /root-files'
    )
    assert pruned > max(number for number, line in enumerate(application) if " /root-files/app/" in line)


@BOTH
def test_packages_are_left_out_by_the_bundles_kind_and_kept_for_the_next_bundle(text: str):
    """The stage depends on a file with the kind alone, and on it only after the packages are installed."""
    found = stages(text)
    (kind,) = [line for line in found["kind-from-bundle"] if line.startswith("RUN ")]
    assert kind.endswith("from=given,target=/given python3 build/image/rootfs.py kind /given > /kind")
    packages = found["packages"]
    copied = packages.index("COPY --from=kind /kind /")
    (installed,) = [number for number, line in enumerate(packages) if "pip install" in line]
    assert installed < copied
    assert (
        packages[copied + 1] == 'RUN PYTHONHASHSEED=0 python3 build/image/rootfs.py packages "$(cat /kind)" /root-files'
    )


@BOTH
def test_the_image_is_made_of_four_parts_and_no_base(text: str):
    found = stages(text)
    assert found["runtime"][0].startswith("FROM --platform=linux/${TARGET} scratch ")
    assert found["image"][0] == "FROM runtime"
    image = [*found["runtime"], *found["image"]]
    copies = [line for line in image if line.startswith(("COPY", "ADD"))]
    assert [re.match(r"COPY --from=(\w+) ", line)[1] for line in copies] == [
        "debian",
        "packages",
        "application",
        "bundle",
    ]
    assert not [line for line in image if line.startswith("RUN")]
    carried = [line for line in stages(text)["application"] if "/root-files" in line and line.startswith("COPY")]
    assert carried == [
        "COPY manifest.py VERSION /root-files/app/",
        "COPY sections/ /root-files/app/sections/",
        "COPY runtime/ /root-files/app/runtime/",
        "COPY --from=kernels /cpu2vec/kernels/lib/libcpu2vec-$TARGET.so /root-files/app/kernels/lib/",
    ]


@BOTH
def test_kernels_are_compiled_with_the_compiler_and_their_own_files_alone(text: str, tmp_path: Path):
    """So that neither PyTorch nor a model is needed, and no change elsewhere compiles them again."""
    found = stages(text)
    assert found["compiler"][0] == "FROM python AS compiler"
    assert found["kernels"][0] == "FROM compiler AS kernels"
    assert taken(found["compiler"]) == {"build/compiler-requirement.txt"}
    modules = {f"build/{name}.py" for name in ("__init__", "command_line", "errors", "kernels")}
    assert taken(found["kernels"]) == {"manifest.py", "sections/", "requirements.in", "kernels/src/", *modules}
    for name in taken(found["kernels"]):
        copy = shutil.copytree if name.endswith("/") else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, tmp_path / name)
    program = "from build.kernels import fingerprint, Target; print(*map(fingerprint, Target))"
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=tmp_path, check=True)


@BOTH
def test_kernels_are_compiled_for_the_machine_that_builds_and_for_the_image(text: str):
    lines = stages(text)["kernels"]
    compiled = [line for line in lines if line.startswith("RUN")]
    assert [re.search(r'build\.kernels --arch "\$(\w+)"', line)[1] for line in compiled] == ["BUILDARCH", "TARGET"]
    # The compiler's cache is in no layer.
    assert all(line.startswith("RUN --mount=type=cache,target=/root/.cache/zig ") for line in compiled)


@BOTH
def test_the_bundle_is_verified_with_kernels_that_are_there_already(text: str):
    found = stages(text)
    assert [found[name][0] for name in ("model-from-hub", "model-from-context")] == [
        "FROM tools AS model-from-hub",
        "FROM tools AS model-from-context",
    ]
    assert "COPY --from=kernels /cpu2vec/kernels/ kernels/" in found["tools"]
    assert {"manifest.py", "requirements.in", "build/"} <= taken(found["tools"])


def test_the_compiler_is_the_one_that_the_builds_environment_has():
    pinned = (ROOT / "build/compiler-requirement.txt").read_text()
    assert re.fullmatch(r"ziglang==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", pinned)
    assert pinned in (ROOT / "build/requirements.txt").read_text()


@BOTH
def test_the_image_runs_as_a_numbered_user_and_without_a_shell(text: str):
    image = stages(text)["runtime"]
    (user,) = [line for line in image if line.startswith("USER")]
    assert re.fullmatch(r"USER [1-9]\d+:[1-9]\d+", user)
    (entrypoint,) = [line.partition(" ")[2] for line in image if line.startswith("ENTRYPOINT")]
    assert json.loads(entrypoint) == ["/usr/bin/python3.11", "-m", "runtime"]
    (health,) = [line.partition(" CMD ")[2] for line in image if line.startswith("HEALTHCHECK")]
    *python, code = json.loads(health)
    assert python == ["/usr/bin/python3.11", "-I", "-S", "-c"]
    ast.parse(code)
    assert "EXPOSE 8080" in image


def test_the_numbered_user_has_a_line_in_passwd():
    assert f"USER {USER_ID}:{USER_ID}" in DOCKERFILES["amd64"]


def test_the_context_is_what_dockerignore_names():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "**"
    allowed = [line for line in lines if line.startswith("!")]
    assert allowed == [
        "!build/**",
        "!kernels/src/**",
        "!manifest.py",
        "!quantize.py",
        "!requirements.in",
        "!requirements.txt",
        "!runtime/**",
        "!sections/**",
        "!VERSION",
        "!.image-context/**",
    ]
    # The last pattern that matches decides: names with a dot, such as .env, stay out of the folders let in before.
    assert lines.index("!runtime/**") < lines.index("**/.*") < lines.index("!.image-context/**")
    assert {"**/__pycache__", "**/*.pyc"} <= set(lines)
