"""Graphs of native ops in the runtime: their results, alone and in batches, and every way in which they are refused."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifest import BundleError, Graph, Layout, OpSet, PoolingMode, Target
from runtime.errors import InferenceFailed, SettingsError
from runtime.inference.engine import Engine, open_engine
from runtime.inference.native_ops import NativeOps, load_native_ops
from runtime.inference.packed_engine import WIDE_ENCODER_FROM_TOKENS
from runtime.inference.token_batch import TokenBatch
from runtime.text.head import normalize
from runtime.text.pooling import pool
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.kernel_programs import library_to_refuse
from tests.support.graphs.native_model import GRAPH, PAGE, POSITIONS, WIDTH, WORDS, cosines, native_model
from tests.support.server.interpreter_lock import others_run_during

LIBRARY = ops.host_library()
MODEL = native_model()
TEXTS = st.lists(st.integers(1, 70), min_size=1, max_size=6)


def some_ids(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, WORDS, length).tolist()


def native_ops(isa: str | None = None) -> NativeOps:
    found = load_native_ops([GRAPH.ops], isa)
    assert found is not None
    return found


def mappings() -> list[list[str]]:
    """This process's mappings: for each, the line that ends with the file's name, followed by lines of figures."""
    blocks: list[list[str]] = []
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


@pytest.fixture(scope="module", params=[False, True], ids=["one node", "a node for each step"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODEL.write(tmp_path_factory.mktemp("native"), in_steps=request.param)


@pytest.fixture(scope="module")
def engine(path: Path) -> Engine:
    return open_engine(path, GRAPH, 2, native_ops())


@pytest.fixture(scope="module")
def pooling_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = MODEL.write(tmp_path_factory.mktemp("pooling"))
    return open_engine(path, dataclasses.replace(GRAPH, inputs=(*GRAPH.inputs, "pooled")), 2, native_ops())


class TestTheLibrary:
    def test_it_is_found_and_chooses_the_best_instruction_set(self):
        assert native_ops() == NativeOps(LIBRARY, ops.available()[0])

    @pytest.mark.parametrize("isa", ops.available())
    def test_an_instruction_set_can_be_forced(self, isa: str):
        assert native_ops(isa).isa == isa

    def test_an_instruction_set_that_this_machine_lacks_is_refused(self):
        sentence = f"KERNELS_ISA must be one of {', '.join(ops.available())} on this machine, not 'avx9'"
        with pytest.raises(SettingsError, match=re.escape(sentence)):
            native_ops("avx9")

    @pytest.mark.parametrize("version", [6, 8])
    def test_another_op_set_is_refused_with_both_versions(self, version: int):
        with pytest.raises(
            BundleError, match=rf"needs version {version} of the ops cpu2vec, and libcpu2vec-\w+.so has version 7: "
        ):
            load_native_ops([None, OpSet("cpu2vec", 7), OpSet("cpu2vec", version)])

    def test_a_library_for_another_onnxruntime_is_refused(self, path: Path):
        library = library_to_refuse(ops.host_target(), "9.9.9")
        with pytest.raises(BundleError, match=r"built for onnxruntime 9.9.9 and do not run in .*; run `make kernels`"):
            open_engine(path, GRAPH, 1, NativeOps(library, "scalar"))

    def test_a_library_for_another_architecture_is_refused(self, tmp_path: Path):
        host = ops.host_target()
        (other,) = set(Target) - {host}
        shutil.copy(library_to_refuse(other), tmp_path / f"libcpu2vec-{host}.so")
        with pytest.raises(BundleError, match=r"libcpu2vec-\w+.so cannot be loaded: .*; run `make kernels`$"):
            load_native_ops([GRAPH.ops], None, tmp_path)


class TestRuns:
    @pytest.mark.parametrize("isa", ops.available())
    @pytest.mark.parametrize("length", [1, 2, 16, 17, 31, 32, 33, 200])
    def test_token_embeddings_are_the_references(self, path: Path, isa: str, length: int):
        found = open_engine(path, GRAPH, 1, native_ops(isa)).run(TokenBatch.of(some_ids(length)), 1)
        assert cosines(found, MODEL.expected(some_ids(length), isa)).min() > 0.9999

    @settings(max_examples=30, deadline=None)
    @given(TEXTS)
    def test_a_text_has_the_same_bits_alone_and_in_a_batch_on_one_core_and_on_all(self, engine: Engine, lengths: list):
        batches = [TokenBatch.of(some_ids(length, seed)) for seed, length in enumerate(lengths)]
        alone = np.concatenate([engine.run(batch, 1) for batch in batches])
        for cores in (1, 2):
            np.testing.assert_array_equal(engine.run(TokenBatch.joined(batches), cores), alone)

    @settings(max_examples=15, deadline=None)
    @given(TEXTS, st.integers(0, 3))
    def test_pooled_vectors_are_the_means_of_tokens(self, pooling_engine: Engine, lengths: list, skip: int):
        batches = [TokenBatch.of(some_ids(length, seed)) for seed, length in enumerate(lengths)]
        pooled = [batch.pooling([(min(skip, len(batch.ids)), len(batch.ids))], True) for batch in batches]
        vectors = pooling_engine.run(TokenBatch.joined(pooled), 2)
        for vector, batch in zip(vectors, batches, strict=True):
            mean = pool(pooling_engine.run(batch, 1), (PoolingMode.MEAN,), skip)
            np.testing.assert_array_max_ulp(vector, normalize(mean), maxulp=1)

    def test_a_graph_of_one_node_pools(self, tmp_path: Path, pooling_engine: Engine):
        assert pooling_engine.pools
        assert not open_engine(MODEL.write(tmp_path, in_steps=True), GRAPH, 1, native_ops()).pools

    def test_batching_is_supported(self, engine: Engine):
        assert engine.supports_batching

    @pytest.mark.parametrize("ids", [[WORDS], [0] * (POSITIONS + 1)])
    @pytest.mark.parametrize("cores", [1, 2])
    def test_input_that_an_op_refuses_fails_the_run_and_the_next_run_works(self, engine: Engine, ids: list, cores: int):
        before = engine.run(TokenBatch.of(some_ids(5)), cores)
        with pytest.raises(InferenceFailed, match="onnxruntime failed: .*cpu2vec (Encoder|Embedding)"):
            engine.run(TokenBatch.of(ids * WIDE_ENCODER_FROM_TOKENS), cores)
        np.testing.assert_array_equal(engine.run(TokenBatch.of(some_ids(5)), cores), before)

    def test_other_python_threads_run_meanwhile(self, path: Path):
        """One run over many texts takes long here; a thread that needs the interpreter gets it."""
        engine = open_engine(path, GRAPH, 1, native_ops("scalar"))
        batch = TokenBatch.joined([TokenBatch.of(some_ids(POSITIONS))] * 2)
        assert others_run_during(lambda: engine.run(batch, 1))

    def test_weights_are_read_where_they_are_mapped(self, path: Path):
        """So processes and sessions share their pages: this process has no copy of its own of any of them."""
        engine = open_engine(path, GRAPH, 2, native_ops())
        engine.run(TokenBatch.of(some_ids(WIDE_ENCODER_FROM_TOKENS)), 2)
        engine.run(TokenBatch.of(some_ids(3)), 1)
        mapped = [block for block in mappings() if block[0].endswith(str(path.with_name(GRAPH.weights)))]
        assert mapped
        copied = [line.split() for block in mapped for line in block[1:] if line.startswith("Anonymous:")]
        assert copied == [["Anonymous:", "0", "kB"]] * len(mapped)


class TestWrongBundles:
    @pytest.mark.parametrize("kept", [-1, -PAGE, PAGE, 0])
    def test_truncated_weights(self, tmp_path: Path, kept: int):
        path = MODEL.write(tmp_path)
        weights = tmp_path / GRAPH.weights
        weights.write_bytes(weights.read_bytes()[:kept])
        with pytest.raises(BundleError, match="model.onnx cannot be loaded: "):
            open_engine(path, GRAPH, 1, native_ops())

    def test_missing_weights(self, tmp_path: Path):
        path = MODEL.write(tmp_path)
        (tmp_path / GRAPH.weights).unlink()
        with pytest.raises(BundleError, match=r"model.onnx cannot be loaded: .*model.onnx.data"):
            open_engine(path, GRAPH, 1, native_ops())

    @pytest.mark.parametrize(("shift", "multiple"), [(1, 4), (2, 4), (4, 64), (32, 64)])
    def test_misaligned_weights(self, tmp_path: Path, shift: int, multiple: int):
        path = MODEL.write(tmp_path, shift=shift)
        sentence = rf"must be aligned to {multiple} bytes: store it as external data"
        with pytest.raises(BundleError, match=sentence):
            open_engine(path, GRAPH, 1, native_ops())

    def test_weights_on_any_multiple_of_their_alignment_are_read(self, engine: Engine, tmp_path: Path):
        shifted = open_engine(MODEL.write(tmp_path, shift=64), GRAPH, 1, native_ops())
        batch = TokenBatch.of(some_ids(20))
        np.testing.assert_array_equal(shifted.run(batch, 1), engine.run(batch, 1))

    @pytest.mark.parametrize("rows", [1, 3])
    def test_scales_without_a_row_for_each_group(self, tmp_path: Path, rows: int):
        scale = np.resize(MODEL.outer.scale, (rows, WIDTH))
        wrong = dataclasses.replace(MODEL, outer=dataclasses.replace(MODEL.outer, scale=scale))
        sentence = rf"scale2 must have the shape \[2, {WIDTH}\], a row for each group of input channels"
        with pytest.raises(BundleError, match=rf"model.onnx cannot be loaded: .*{sentence}"):
            open_engine(wrong.write(tmp_path), GRAPH, 1, native_ops())

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"layout": Layout.PADDED}, "model.onnx is a padded graph of native ops, which"),
            ({"ops": None}, "model.onnx is a packed graph of onnxruntime's ops, which"),
            (
                {"inputs": ("input_ids", "lengths", "attention_mask")},
                "has the input attention_mask, which this runtime does not provide",
            ),
        ],
    )
    def test_graphs_that_no_engine_runs(self, path: Path, changed: dict, message: str):
        graph: Graph = dataclasses.replace(GRAPH, **changed)
        with pytest.raises(BundleError, match=message):
            open_engine(path, graph, 1, native_ops())
