"""The kernels on other CPUs than this machine's, as emulators play them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from manifest import Target
from tests.support.graphs.kernel_programs import build_once, for_emulator, passes

pytestmark = pytest.mark.system


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
    program = build_once("selftest", target, for_emulator(target), tmp_path)
    passes(emulator, "-cpu", cpu, program, 20, *names)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86")
def test_an_instruction_set_is_not_used_where_the_cpu_lacks_it(tmp_path: Path):
    program = build_once("selftest", Target.AMD64, for_emulator(Target.AMD64), tmp_path)
    command = ["qemu-x86_64-static", "-cpu", "Westmere", program, "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "scalar: 1 cases each, 0 failures\n"
