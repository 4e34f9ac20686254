"""The description of the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.report.machine import (
    OtherLoad,
    children_cpu_seconds,
    commit,
    describe_machine,
    disturbance,
    heading,
    others_percent,
    parse_cpuinfo,
    versions_in,
)


class TestMachine:
    def test_reads_an_x86_cpu(self):
        text = "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\nflags\t\t: fpu amx_int8 avx2 avx512_vnni\n"
        assert parse_cpuinfo(text) == ("Xeon (family 6 model 143)", ("avx2", "avx512_vnni", "amx_int8"))

    def test_reads_an_arm_cpu(self):
        text = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
        assert parse_cpuinfo(text) == ("implementer 0x41 part 0xd0c", ("asimd", "asimddp", "i8mm"))

    def test_describes_this_one(self):
        machine = describe_machine()
        assert machine.cpu
        assert machine.cores == len(os.sched_getaffinity(0))

    def test_names_the_versions_of_an_environment(self):
        assert versions_in(Path(sys.prefix), ("numpy", "no-such-package")) == {"numpy": np.__version__}


class TestCommit:
    def test_is_that_of_the_checkout_with_a_plus_where_files_differ(self, tmp_path: Path):
        (tmp_path / "file").touch()
        author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        for arguments in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "--message", "First")):
            subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
        clean = commit(tmp_path)
        assert re.fullmatch("[0-9a-f]{12}", clean)
        (tmp_path / "untracked").touch()
        assert commit(tmp_path) == clean
        (tmp_path / "file").write_text("changed")
        assert commit(tmp_path) == f"{clean}+"

    def test_is_empty_outside_git(self, tmp_path: Path):
        assert commit(tmp_path) == ""


class TestHeading:
    def test_says_when_from_which_commit_and_where(self, tmp_path: Path):
        machine = describe_machine()
        first, second = heading(machine, tmp_path).splitlines()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00, commit unknown", first)
        assert second == f"{machine}; load average before: {machine.load_average:.2f}"

    def test_has_a_note_on_the_use_of_the_machine(self, tmp_path: Path):
        machine = describe_machine()
        assert f"{machine}; one core is used; load average" in heading(machine, tmp_path, "one core is used")


class TestOtherLoad:
    def test_is_what_the_machine_used_and_we_did_not(self):
        assert others_percent(machine_seconds=10, own_seconds=4, elapsed=2, cores=6) == 50
        assert others_percent(machine_seconds=3.99, own_seconds=4, elapsed=2, cores=6) == 0

    def test_children_that_have_ended_are_not_others(self):
        before = children_cpu_seconds()
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
        assert children_cpu_seconds() - before >= 0.5

    def test_is_a_share_of_the_cores(self):
        assert OtherLoad().percent() >= 0

    def test_is_a_warning_where_it_matters(self):
        assert disturbance(1.2) == "other processes used 1 % of the cores"
        assert disturbance(48.4).startswith("WARNING: other processes used 48 % of the cores")
