"""Graphs of native ops in the runtime: what they give, alone and together, and what stops them."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build import kernels as kernels_build
from manifest import BundleError, Graph, Layout, OpSet, Target
from runtime.errors import InferenceFailed, SettingsError
from runtime.inference.engine import Engine, open_engine
from runtime.inference.native_ops import Kernels, open_kernels
from runtime.inference.packed_engine import WIDE_FROM_TOKENS
from runtime.inference.token_batch import TokenBatch
from tests.kernels.test_errors import LIBRARY
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.native_model import GRAPH, PAGE, POSITIONS, WIDTH, WORDS, cosines, native_model
from tests.support.server.interpreter_lock import others_run_during

MODEL = native_model()
TEXTS = st.lists(st.integers(1, 70), min_size=1, max_size=6)


def some_ids(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, WORDS, length).tolist()


def kernels(isa: str | None = None) -> Kernels:
    found = open_kernels([GRAPH.ops], isa)
    assert found is not None
    return found


def mappings() -> list[list[str]]:
    """This process's, each with its lines of figures behind the line that ends with the file's name."""
    blocks: list[list[str]] = []
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODEL.write(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def engine(path: Path) -> Engine:
    return open_engine(path, GRAPH, 2, kernels())


class TestTheLibrary:
    def test_it_is_found_and_chooses_what_it_says(self):
        assert kernels() == Kernels(LIBRARY, ops.available()[0])

    @pytest.mark.parametrize("isa", ops.available())
    def test_an_instruction_set_can_be_forced(self, isa: str):
        assert kernels(isa).isa == isa

    def test_one_that_this_machine_does_not_have_is_refused(self):
        sentence = f"KERNELS_ISA is 'avx9', and this machine can use {', '.join(ops.available())}"
        with pytest.raises(SettingsError, match=re.escape(sentence)):
            kernels("avx9")

    @pytest.mark.parametrize("version", [1, 3])
    def test_another_op_set_is_refused_with_both_versions(self, version: int):
        with pytest.raises(
            BundleError, match=rf"wants version {version} of the ops cpu2vec, and libcpu2vec-\w+.so has version 2: "
        ):
            open_kernels([None, OpSet("cpu2vec", 2), OpSet("cpu2vec", version)])

    def test_one_for_another_onnxruntime_is_refused(self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(kernels_build, "LIBRARIES", tmp_path)
        monkeypatch.setattr(kernels_build, "pinned_onnxruntime", lambda: "9.9.9")
        library = kernels_build.build(ops.host_target())
        with pytest.raises(BundleError, match=r"made for onnxruntime 9.9.9 and do not run in .*; run `make kernels`"):
            open_engine(path, GRAPH, 1, Kernels(library, "scalar"))

    def test_one_for_another_architecture_is_refused(self, tmp_path: Path):
        host = ops.host_target()
        (other,) = set(Target) - {host}
        shutil.copy(kernels_build.ensure(other), tmp_path / f"libcpu2vec-{host}.so")
        with pytest.raises(BundleError, match=r"libcpu2vec-\w+.so cannot be loaded: .*; run `make kernels`$"):
            open_kernels([GRAPH.ops], None, tmp_path)


class TestRuns:
    @pytest.mark.parametrize("isa", ops.available())
    @pytest.mark.parametrize("length", [1, 2, 16, 17, 31, 32, 33, 200])
    def test_token_embeddings_are_the_references(self, path: Path, isa: str, length: int):
        found = open_engine(path, GRAPH, 1, kernels(isa)).run(TokenBatch.of(some_ids(length)), 1)
        assert cosines(found, MODEL.expected(some_ids(length), isa)).min() > 0.9999

    @settings(max_examples=30, deadline=None)
    @given(TEXTS)
    def test_a_text_has_the_same_bits_alone_and_among_others_on_one_core_and_on_all(
        self, engine: Engine, lengths: list
    ):
        batches = [TokenBatch.of(some_ids(length, seed)) for seed, length in enumerate(lengths)]
        alone = np.concatenate([engine.run(batch, 1) for batch in batches])
        for cores in (1, 2):
            np.testing.assert_array_equal(engine.run(TokenBatch.joined(batches), cores), alone)

    def test_texts_may_share_a_run(self, engine: Engine):
        assert engine.joins_texts

    @pytest.mark.parametrize("ids", [[WORDS], [0] * (POSITIONS + 1)])
    @pytest.mark.parametrize("cores", [1, 2])
    def test_what_an_op_refuses_is_a_failed_run_and_the_next_one_works(self, engine: Engine, ids: list, cores: int):
        before = engine.run(TokenBatch.of(some_ids(5)), cores)
        with pytest.raises(InferenceFailed, match="onnxruntime failed: .*cpu2vec Embedding"):
            engine.run(TokenBatch.of(ids * WIDE_FROM_TOKENS), cores)
        np.testing.assert_array_equal(engine.run(TokenBatch.of(some_ids(5)), cores), before)

    def test_other_threads_of_python_run_meanwhile(self, path: Path):
        """One run over many texts takes long here; a thread that wants the interpreter gets it."""
        engine = open_engine(path, GRAPH, 1, kernels("scalar"))
        batch = TokenBatch.joined([TokenBatch.of(some_ids(POSITIONS))] * 10)
        assert others_run_during(lambda: engine.run(batch, 1))

    def test_weights_are_read_where_they_are_mapped(self, path: Path):
        """So that processes and sessions share their pages: of none has this process a copy of its own."""
        engine = open_engine(path, GRAPH, 2, kernels())
        engine.run(TokenBatch.of(some_ids(WIDE_FROM_TOKENS)), 2)
        engine.run(TokenBatch.of(some_ids(3)), 1)
        mapped = [block for block in mappings() if block[0].endswith(str(path.with_name(GRAPH.weights)))]
        assert mapped
        copied = [line.split() for block in mapped for line in block[1:] if line.startswith("Anonymous:")]
        assert copied == [["Anonymous:", "0", "kB"]] * len(mapped)


class TestWrongBundles:
    @pytest.mark.parametrize("kept", [-1, -PAGE, PAGE, 0])
    def test_weights_that_are_cut_off(self, tmp_path: Path, kept: int):
        path = MODEL.write(tmp_path)
        weights = tmp_path / GRAPH.weights
        weights.write_bytes(weights.read_bytes()[:kept])
        with pytest.raises(BundleError, match="model.onnx cannot be loaded: "):
            open_engine(path, GRAPH, 1, kernels())

    def test_weights_that_are_missing(self, tmp_path: Path):
        path = MODEL.write(tmp_path)
        (tmp_path / GRAPH.weights).unlink()
        with pytest.raises(BundleError, match=r"model.onnx cannot be loaded: .*model.onnx.data"):
            open_engine(path, GRAPH, 1, kernels())

    @pytest.mark.parametrize(("shift", "multiple"), [(1, 4), (2, 4), (4, 64), (32, 64)])
    def test_weights_that_are_not_aligned(self, tmp_path: Path, shift: int, multiple: int):
        path = MODEL.write(tmp_path, shift=shift)
        sentence = rf"does not lie on a multiple of {multiple} bytes: store it as external data"
        with pytest.raises(BundleError, match=sentence):
            open_engine(path, GRAPH, 1, kernels())

    def test_weights_on_any_multiple_of_their_alignment_are_read(self, engine: Engine, tmp_path: Path):
        shifted = open_engine(MODEL.write(tmp_path, shift=64), GRAPH, 1, kernels())
        batch = TokenBatch.of(some_ids(20))
        np.testing.assert_array_equal(shifted.run(batch, 1), engine.run(batch, 1))

    @pytest.mark.parametrize("rows", [1, 3])
    def test_scales_that_have_not_a_row_for_each_group(self, tmp_path: Path, rows: int):
        scale = np.resize(MODEL.outer.scale, (rows, WIDTH))
        wrong = dataclasses.replace(MODEL, outer=dataclasses.replace(MODEL.outer, scale=scale))
        sentence = rf"scale2 must have the shape \[2, {WIDTH}\], a row for each group of input channels"
        with pytest.raises(BundleError, match=rf"model.onnx cannot be loaded: .*{sentence}"):
            open_engine(wrong.write(tmp_path), GRAPH, 1, kernels())

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"layout": Layout.PADDED}, "model.onnx is padded and of native ops, which"),
            ({"ops": None}, "model.onnx is packed and of onnxruntime's ops alone, which"),
            ({"inputs": ("input_ids", "lengths", "attention_mask")}, "wants an input .* cannot give: attention_mask"),
        ],
    )
    def test_graphs_that_no_engine_runs(self, path: Path, changed: dict, said: str):
        graph: Graph = dataclasses.replace(GRAPH, **changed)
        with pytest.raises(BundleError, match=said):
            open_engine(path, graph, 1, kernels())
