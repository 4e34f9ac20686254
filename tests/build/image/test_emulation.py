"""The recipe for emulated containers: the file that it makes is an ARM processor's."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.image.emulation import emulated_cpu, write_cpuinfo


def test_the_recipe_describes_as_many_processors_as_there_are(tmp_path: Path):
    *processors, rest = write_cpuinfo(tmp_path).read_text().split("\n\n")
    assert rest == ""
    assert len(processors) == len(os.sched_getaffinity(0))
    for number, text in enumerate(processors):
        fields = dict(line.replace("\t", "").split(": ", 1) for line in text.splitlines())
        assert fields["processor"] == str(number)
        # onnxruntime reads which core it is, and what that can do.
        assert (fields["CPU implementer"], fields["CPU part"], fields["CPU architecture"]) == ("0x41", "0xd0c", "8")
        assert {"asimd", "asimddp"} <= set(fields["Features"].split())


def test_the_emulated_processor_is_the_one_that_the_file_describes():
    assert emulated_cpu() == "neoverse-n1"  # Arm: implementer 0x41, part 0xd0c
