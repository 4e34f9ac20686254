"""The memory of a native run: a bound that is linear in the tokens, compared with what a process takes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build.clip.export import IMAGE, TEXT
from build.fidelity.runtime_process import ROOT
from build.native.memory import native_memory
from manifest import WorkingMemory
from tests.support.graphs.clip_graphs import clip
from tests.support.graphs.native_graphs import NATIVE_MODELS, exported, lowered
from tests.support.models.tiny_models import TinyModel

SIZES = {"hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 768, "num_hidden_layers": 2}
POSITIONS = 4096
WIDE = [
    replace(model, name=f"wide-{model.name}", settings=SIZES, positions=POSITIONS + 2, max_seq_length=None)
    for model in NATIVE_MODELS
    if model.family in ("bert", "mpnet")
]

MEASURE = """
import re, sys
from pathlib import Path
import numpy as np
import onnxruntime as ort
from tests.support.graphs.kernel_ops import options
session = ort.InferenceSession(sys.argv[1], options())
def peak(tokens):
    session.run(None, {"input_ids": np.full(tokens, 20), "lengths": np.array([tokens])})
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak(1)
print(peak(int(sys.argv[2])) - before)
"""
"""Prints how many bytes a long text adds to the peak of a process that holds little else."""


@pytest.mark.parametrize("model", WIDE, ids=lambda model: model.name)
def test_a_run_takes_no_more_than_the_bound(model: TinyModel, tmp_path: Path):
    plan = exported(model).plan()
    memory = native_memory(plan.encoder, plan.graph)
    command = [sys.executable, "-c", MEASURE, lowered(plan, tmp_path), str(POSITIONS)]
    taken = int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert taken <= memory.of(POSITIONS)
    assert memory.per_pair == 0
    assert taken >= memory.of(POSITIONS) / 4, "a bound that is much too high wastes memory that could serve requests"


MEASURE_IMAGE = """
import re, sys
from pathlib import Path
import numpy as np
import onnxruntime as ort
from tests.support.graphs.kernel_ops import options
settings = options()
settings.enable_cpu_mem_arena = False
session = ort.InferenceSession(sys.argv[1], settings)
pixels = np.zeros((1, 3, int(sys.argv[2]), int(sys.argv[2])), np.float32)
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
# What loading took at its peak would count as well.
Path("/proc/self/clear_refs").write_text("5")
before = peak()
# The first run finds what loading has freed.
for _ in range(2):
    session.run(None, {"pixel_values": pixels})
print(peak() - before)
"""


def test_an_image_takes_no_more_than_the_bound(tmp_path: Path):
    side = 448
    wide = {"hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 768, "image_size": side}
    tower = clip(**wide).tower(IMAGE)
    command = [sys.executable, "-c", MEASURE_IMAGE, tower.quantize().graph, str(side)]
    taken = int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert tower.image_memory is not None
    assert tower.image_memory / 4 <= taken <= tower.image_memory


def test_norms_before_products_take_a_copy_of_the_input():
    memory = clip().tower(TEXT).memory
    width, heads, hidden = 32, 4, 64
    expected = 4 * 9 * width + heads * (8 * 16 + 16) + 5 * (hidden + 16)
    assert memory == WorkingMemory(128 * expected, expected, 0)
    assert clip().tower(TEXT).image_memory is None


def test_it_grows_with_the_shape_and_has_room_for_split_channels():
    bert = NATIVE_MODELS[0]
    plan = exported(bert).plan()
    width, heads, hidden = 32, 2, 48
    expected = 4 * 8 * width + heads * (8 * 16 + 16) + 5 * (hidden + 16)
    assert native_memory(plan.encoder, plan.graph) == WorkingMemory(128 * expected, expected, 0)
