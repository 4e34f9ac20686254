"""What runs in an engine's process: parsing, AMX, packed texts."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest

from bench.models.engines.amx import has_amx
from bench.models.engines.inputs import Text
from bench.models.engines.onnx_model import PackedModel
from bench.models.engines.worker import parse_rollup, text_of
from bench.models.measurement import APART, TOGETHER, loads, parse_onednn_isa
from manifest import Graph, Layout, OpSet
from tests.support.graphs import kernel_ops
from tests.support.paths import ROOT


class TestParsing:
    def test_private_memory_is_clean_and_dirty(self):
        text = "1-2 ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss: 5 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: 3 kB\n"
        assert parse_rollup(text) == {"private": 4096, "pss": 5120}

    @pytest.mark.parametrize(
        ("log", "shown"),
        [
            ("x\nonednn_verbose,v1,info,cpu,isa:Intel AVX2\ny", "AVX2"),
            ("info,cpu,isa:Intel AVX-512 with Intel DL Boost support\n", "AVX-512 with Intel DL Boost"),
            ("nothing of the kind", "OpenVINO's choice"),
        ],
    )
    def test_onednn_reports_its_instruction_set(self, log: str, shown: str):
        assert parse_onednn_isa(log) == shown

    def test_a_text_has_as_many_tokens_as_asked_for(self):
        assert [len(text_of(tokens).ids) for tokens in (1, 50, 512)] == [1, 50, 512]

    def test_texts_are_timed_alone_and_eight_of_them_together_and_apart(self):
        assert loads([8]) == [{"8": ((8,),)}, {TOGETHER: ((16,) * 8,), APART: ((16,),) * 8}]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is of x86-64")
class TestAmx:
    PROGRAM = """
import ctypes
from bench.models.engines.amx import {name}
libc = ctypes.CDLL(None, use_errno=True)

def arch_prctl(code, argument):
    ctypes.set_errno(0)
    libc.syscall(158, code, argument)
    return ctypes.get_errno()

before = arch_prctl(0x1023, 18)
{name}()
stack = ctypes.c_ulong()
print(before, arch_prctl(0x1023, 18), arch_prctl(0x1003, ctypes.byref(stack)), bool(stack.value))
"""

    def answers(self, name: str) -> list[str]:
        command = [sys.executable, "-c", self.PROGRAM.format(name=name)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    def test_the_filter_refuses_the_permission_and_nothing_else(self):
        before, after, other, answered = self.answers("refuse_permission")
        assert before != str(errno.EPERM)
        assert (after, other, answered) == (str(errno.EPERM), "0", "True")

    @pytest.mark.skipif(has_amx(), reason="this CPU has AMX")
    def test_without_amx_there_is_no_filter(self):
        before, after, *_ = self.answers("deny_amx")
        assert before == after


def test_texts_of_a_native_graph_are_run_together():
    kernel_ops.host_library()
    rng = np.random.default_rng(3)
    inputs = {
        "input_ids": np.zeros(1, np.int64),
        "lengths": np.ones(1, np.int64),
        "word": rng.integers(-127, 128, (64, 16), dtype=np.int8),
        "word_scale": rng.uniform(0.5, 1, 64).astype(np.float32),
    }
    model = kernel_ops.graph("Embedding", inputs, ("word", "word_scale"))
    session = ort.InferenceSession(model.SerializeToString(), kernel_ops.options())
    graph = Graph("", "", ("input_ids", "lengths"), "y", Layout.PACKED, OpSet("cpu2vec", 7))
    found = PackedModel(session, graph, "any").run([Text([5, 6]), Text([7])])
    expected = (inputs["word"] * inputs["word_scale"][:, np.newaxis])[[5, 6, 7]]
    assert found == pytest.approx(expected, rel=1e-6)
