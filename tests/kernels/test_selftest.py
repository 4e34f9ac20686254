"""The kernels without onnxruntime; AVX-512 or an emulator simulates the instruction sets that this machine lacks."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from build.errors import CompilerFailed
from build.kernels import Toolchain, for_image
from manifest import Target
from runtime.host.cpu import host_target
from tests.support.graphs.kernel_ops import available
from tests.support.graphs.kernel_programs import (
    SANITIZED,
    build_once,
    build_selftest,
    build_simulating_selftest,
    static,
)


def passes(*command: object) -> None:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=1800, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def simulated() -> list[str]:
    """Return the instruction sets that the program must test on this machine: with AVX-512, also simulated ones."""
    names = available()
    return [*names, "amx", "avxvnni"] if "avx512vnni" in names else names


def test_every_instruction_set_agrees_with_the_scalar_kernels(tmp_path: Path):
    target = host_target()
    assert target is not None
    program = build_simulating_selftest(target, for_image(target), tmp_path)
    passes(program, 200, *simulated())


@pytest.mark.skipif("avx512vnni" not in available(), reason="no AVX-512 to simulate tile registers with")
def test_an_instruction_set_that_computes_wrongly_is_not_used(tmp_path: Path):
    program = build_simulating_selftest(Target.AMD64, for_image(Target.AMD64), tmp_path)
    faulty = {"CPU2VEC_WRONG_TILES": "1"}
    result = subprocess.run([program, "1"], env=faulty, capture_output=True, text=True, check=True)
    assert result.stdout == "avx512vnni,avxvnni,avx2,scalar: 1 cases each, 0 failures\n"


def test_the_benchmark_runs(tmp_path: Path):
    target = host_target()
    assert target is not None
    program = build_once("benchmark", target, for_image(target), tmp_path, defines=["CPU2VEC_BENCH"])
    assert subprocess.run([program, "none"], capture_output=True, check=False).returncode == 1


def test_a_compiler_that_is_missing(tmp_path: Path):
    with pytest.raises(CompilerFailed, match="no-such-compiler is missing: it compiles the kernels"):
        build_selftest(Target.AMD64, Toolchain(("no-such-compiler",), ()), tmp_path)


def test_sources_that_do_not_compile(tmp_path: Path):
    broken = Toolchain(for_image(Target.AMD64).compiler, ("-include", "no-such-file.h"))
    with pytest.raises(CompilerFailed, match="the kernels do not compile: .*error"):
        build_selftest(Target.AMD64, broken, tmp_path)


@pytest.mark.system
def test_sanitizers_find_nothing(tmp_path: Path):
    target = host_target()
    assert target is not None
    assert shutil.which("clang++"), "clang++ is missing: install clang"
    passes(build_simulating_selftest(target, SANITIZED, tmp_path), 100, *simulated())


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
def test_other_cpus_under_an_emulator(tmp_path: Path, target, emulator, cpu, names):
    assert shutil.which(emulator), f"{emulator} is missing: install qemu-user-static"
    program = build_once("selftest", target, static(target), tmp_path)
    passes(emulator, "-cpu", cpu, program, 20, *names)


@pytest.mark.system
@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86")
def test_an_instruction_set_is_not_used_where_the_cpu_lacks_it(tmp_path: Path):
    program = build_once("selftest", Target.AMD64, static(Target.AMD64), tmp_path)
    command = ["qemu-x86_64-static", "-cpu", "Westmere", program, "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "scalar: 1 cases each, 0 failures\n"
