"""The kernels without onnxruntime; AVX-512 simulates the instruction sets that this machine lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from build.errors import CompilerFailed
from build.kernels import Toolchain, for_image
from manifest import Target
from runtime.host.cpu import host_target
from tests.support.graphs.kernel_ops import available
from tests.support.graphs.kernel_programs import (
    build_once,
    build_selftest,
    build_simulating_selftest,
    passes,
    simulated,
)


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
