"""A tiny encoder of native ops on disk, as a graph or as a whole bundle, and what it computes, in 64-bit floats."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from build.native.fusing import fused
from manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    SCHEMA,
    FileEntry,
    Golden,
    GoldenRequest,
    Graph,
    Kind,
    Layout,
    Manifest,
    OpSet,
    Precision,
    Source,
    SourceKind,
    Target,
    Tolerance,
    WorkingMemory,
    describe_files,
    project_version,
    sha256_of,
    to_json,
    write_manifest,
)
from runtime.host.cpu import host_target
from tests.support.bundles.text_models import NORMALIZE, a_text_model, an_encoder
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.kernel_ops import LinearMap, random_linear_map

WORDS, WIDTH, HEADS, MIDDLE, POSITIONS = 40, 330, 5, 400, 300
"""Heads of 66; channels are in groups of 192 and 138, hidden ones of 256 and 144."""

CLS, SEP = 0, 1
PAGE = 4096
OPS = OpSet(ops.DOMAIN, ops.OP_SET)
GRAPH = Graph("model.onnx", "model.onnx.data", ("input_ids", "lengths"), "last_hidden_state", Layout.PACKED, OPS)

Array = NDArray[Any]


@dataclass(frozen=True)
class NativeModel:
    """Embedding, one layer of a post-norm encoder, and nothing else."""

    word: NDArray[np.int8]
    word_scale: NDArray[np.float32]
    position: NDArray[np.float32]
    qkv: LinearMap
    output: LinearMap
    inner: LinearMap
    outer: LinearMap
    gammas: NDArray[np.float32]  # (3, width)
    betas: NDArray[np.float32]

    def expected(self, ids: list[int], isa: str = "scalar") -> Array:
        """Compute the token embeddings of one text, (tokens, width)."""
        x = self.word[ids] * self.word_scale[ids][:, None] + self.position[: len(ids)]
        x = self._norm(0, x)
        attended = ops.attention(self.qkv.apply(x), [len(ids)], HEADS, (WIDTH / HEADS) ** -0.5, None, isa)
        x = self._norm(1, self.output.apply(attended) + x)
        return self._norm(2, self.outer.apply(ops.ACTIVATIONS["gelu"](self.inner.apply(x))) + x)

    def _norm(self, index: int, x: Array) -> Array:
        return ops.layer_norm(x, self.gammas[index], self.betas[index], 1e-12)

    def write(self, directory: Path, op_set: int = ops.OP_SET, shift: int = 0, in_steps: bool = False) -> Path:
        """Write the graph, with weights beside it on page boundaries, or ``shift`` bytes after them.

        ``in_steps``: whether it has a node for each step, and not one for all of them.
        """
        tensors: dict[str, Array] = {"word": self.word, "word_scale": self.word_scale, "position": self.position}
        tensors |= {f"{name}{n}": v for name in ("gamma", "beta") for n, v in enumerate(getattr(self, f"{name}s"))}
        for name in ("qkv", "output"):
            tensors |= {f"{name}.{key}": value for key, value in getattr(self, name).inputs().items()}
        tensors |= {**self.inner.inputs("1"), **self.outer.inputs("2")}
        weights = ("weight", "scale", "sums", "bias")

        def node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
            return helper.make_node(op, inputs, [output], name=output, domain=ops.DOMAIN, **attributes)

        def of(name: str) -> list[str]:
            return [f"{name}.{key}" for key in weights]

        nodes = [
            node(
                "Embedding", ["input_ids", "lengths", "word", "word_scale", "position", "gamma0", "beta0"], "embedded"
            ),
            node("Linear", ["embedded", *of("qkv")], "qkv"),
            node("Attention", ["qkv", "lengths"], "attended", heads=HEADS),
            node("Linear", ["attended", *of("output"), "", "", "embedded", "gamma1", "beta1"], "x"),
            node(
                "FeedForward",
                ["x", *[f"{k}1" for k in weights], "", "", *[f"{k}2" for k in weights], "gamma2", "beta2"],
                GRAPH.output,
                activation="gelu",
            ),
        ]
        graph = helper.make_graph(
            nodes,
            "native",
            [helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in GRAPH.inputs],
            [helper.make_tensor_value_info(GRAPH.output, TensorProto.FLOAT, None)],
            _written(tensors, directory / GRAPH.weights, shift),
        )
        graph = graph if in_steps else fused(graph)
        op_sets = [helper.make_opsetid("", 18), helper.make_opsetid(ops.DOMAIN, op_set)]
        onnx.save(helper.make_model(graph, opset_imports=op_sets, ir_version=9), directory / GRAPH.file)
        return directory / GRAPH.file


def native_model(seed: int = 0) -> NativeModel:
    rng = np.random.default_rng(seed)

    def floats(*shape: int) -> NDArray[np.float32]:
        return np.asarray(rng.normal(size=shape), np.float32)

    return NativeModel(
        rng.integers(-127, 128, (WORDS, WIDTH), dtype=np.int8),
        rng.uniform(0.005, 0.01, WORDS).astype(np.float32),
        0.1 * floats(POSITIONS, WIDTH),
        random_linear_map(rng, WIDTH, 3 * WIDTH),
        random_linear_map(rng, WIDTH, WIDTH),
        random_linear_map(rng, WIDTH, MIDDLE),
        random_linear_map(rng, MIDDLE, WIDTH),
        1 + 0.1 * floats(3, WIDTH),
        0.1 * floats(3, WIDTH),
    )


def native_bundle(directory: Path, op_set: OpSet = OPS) -> Path:
    """A bundle with a vocabulary of w3, w4, …, mean pooling and unit length; golden vectors are the reference's."""
    directory.mkdir()
    model = native_model()
    model.write(directory)
    _tokenizer().save(str(directory / "tokenizer.json"))
    text = "w3 w4 w5 w3"
    answer = {"vector": vector_of(model, text).tolist()}
    golden = GoldenRequest("/vectors", {"text": text}, answer, Tolerance(min_cosine=0.999))
    (directory / GOLDEN_FILE).write_text(to_json(Golden((golden,))))
    (directory / "config.json").write_text("{}")
    (directory / "fidelity.json").write_text("{}")
    encoder = an_encoder(
        layers=(NORMALIZE,),
        width=WIDTH,
        max_tokens=POSITIONS,
        memory=WorkingMemory(fixed=0, per_token=20_000, per_pair=0),
    )
    described = a_text_model(
        dim=WIDTH, encoders={"text": encoder}, graphs={"model": dataclasses.replace(GRAPH, ops=op_set)}
    )
    manifest = Manifest(
        SCHEMA,
        project_version(),
        "tiny/native",
        Source(SourceKind.DIRECTORY, "sha256:0"),
        None,
        Kind.TEXT,
        host_target() or Target.AMD64,
        Precision.INT8,
        describe_files(directory, described),
        {},
        None,
        described,
    )
    write_manifest(directory, manifest)
    return directory


def reseal(bundle: Path) -> None:
    """Make the manifest agree with files that a test has changed."""
    manifest = json.loads((bundle / MANIFEST_FILE).read_text())
    for name, entry in manifest["files"].items():
        entry.update(dataclasses.asdict(_entry(bundle / name)))
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest))


def vector_of(model: NativeModel, text: str) -> Array:
    """What the bundle answers for words of its vocabulary."""
    ids = [CLS, *(int(word[1:]) for word in text.split()), SEP]
    pooled = model.expected(ids).mean(axis=0)
    return pooled / np.linalg.norm(pooled)


def cosines(left: Array, right: Array) -> Array:
    """Of rows."""
    lengths = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return (left.astype(np.float64) * right).sum(axis=-1) / lengths


def _entry(path: Path) -> FileEntry:
    return FileEntry(path.stat().st_size, sha256_of(path))


def _written(tensors: dict[str, Array], path: Path, shift: int) -> list[TensorProto]:
    protos, content = [], bytearray()
    for name, value in tensors.items():
        content += bytes(-len(content) % PAGE + shift)
        proto = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
            dims=value.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, entry in (("location", path.name), ("offset", len(content)), ("length", value.nbytes)):
            proto.external_data.add(key=key, value=str(entry))
        content += value.tobytes()
        protos.append(proto)
    path.write_bytes(content)
    return protos


def _tokenizer() -> Tokenizer:
    words = ["[CLS]", "[SEP]", "[UNK]", *(f"w{n}" for n in range(3, WORDS))]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [("[CLS]", CLS), ("[SEP]", SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    return tokenizer
