"""The kernels without onnxruntime: instruction sets that this machine lacks are played by others or by an emulator."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from build.errors import BuildError
from build.kernels import SANITIZED, Toolchain, build_program, for_image, static
from manifest import Target
from runtime.host.cpu import host_target
from tests.support.graphs.kernel_ops import available


def passes(*command: object) -> None:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def played() -> list[str]:
    """What the program must have tested on this machine: with AVX-512, also what that stands in for."""
    names = available()
    return [*names, "amx", "avxvnni"] if "avx512vnni" in names else names


def test_every_instruction_set_agrees_with_the_plain_code(tmp_path: Path):
    target = host_target()
    assert target is not None
    program = build_program("selftest", target, for_image(target), tmp_path, stand_ins=True)
    passes(program, 200, *played())


@pytest.mark.skipif("avx512vnni" not in available(), reason="no AVX-512 to play tile registers")
def test_an_instruction_set_that_computes_wrongly_is_not_used(tmp_path: Path):
    correct = for_image(Target.AMD64)
    wrong = Toolchain(correct.compiler, (*correct.flags, "-DCPU2VEC_WRONG_TILES"), correct.link)
    program = build_program("selftest", Target.AMD64, wrong, tmp_path, stand_ins=True)
    result = subprocess.run([program, "1"], capture_output=True, text=True, check=True)
    assert result.stdout == "avx512vnni,avxvnni,avx2,scalar: 1 cases each, 0 failures\n"


def test_the_benchmark_runs(tmp_path: Path):
    target = host_target()
    assert target is not None
    program = build_program("benchmark", target, for_image(target), tmp_path, bench=True)
    assert subprocess.run([program, "none"], capture_output=True, check=False).returncode == 1


def test_a_compiler_that_is_missing(tmp_path: Path):
    with pytest.raises(BuildError, match="no-such-compiler is missing: it compiles the kernels"):
        build_program("selftest", Target.AMD64, Toolchain(("no-such-compiler",), ()), tmp_path)


def test_sources_that_do_not_compile(tmp_path: Path):
    broken = Toolchain(for_image(Target.AMD64).compiler, ("-include", "no-such-file.h"))
    with pytest.raises(BuildError, match="the kernels do not compile: .*error"):
        build_program("selftest", Target.AMD64, broken, tmp_path)


@pytest.mark.system
def test_sanitizers_find_nothing(tmp_path: Path):
    target = host_target()
    assert target is not None
    assert shutil.which("clang++"), "clang++ is missing: install clang"
    passes(build_program("selftest", target, SANITIZED, tmp_path, stand_ins=True), 100, *played())


@pytest.mark.system
@pytest.mark.parametrize(
    ("target", "emulator", "cpu", "names"),
    [
        (Target.AMD64, "qemu-x86_64-static", "Haswell", ["avx2"]),
        (Target.AMD64, "qemu-x86_64-static", "Westmere", ["scalar"]),
        (Target.ARM64, "qemu-aarch64-static", "max", ["neon_i8mm", "neon_dot"]),
        (Target.ARM64, "qemu-aarch64-static", "neoverse-n1", ["neon_dot"]),
        (Target.ARM64, "qemu-aarch64-static", "cortex-a53", ["scalar"]),
    ],
)
def test_other_cpus_as_an_emulator_plays_them(tmp_path: Path, target, emulator, cpu, names):
    assert shutil.which(emulator), f"{emulator} is missing: install qemu-user-static"
    program = build_program("selftest", target, static(target), tmp_path)
    passes(emulator, "-cpu", cpu, program, 20, *names)


@pytest.mark.system
@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86")
def test_an_instruction_set_is_not_used_where_the_cpu_lacks_it(tmp_path: Path):
    program = build_program("selftest", Target.AMD64, static(Target.AMD64), tmp_path)
    command = ["qemu-x86_64-static", "-cpu", "Westmere", program, "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "scalar: 1 cases each, 0 failures\n"
