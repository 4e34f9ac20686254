"""Defines the bundle, the one artifact that the build hands to the runtime. Standard library only.

A bundle is a directory of files and ``manifest.json``, which names the size and sha256 of each. Reading is strict: a
field, file, size or hash that is missing, unknown or wrong has a ``BundleError`` that names it.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

SCHEMA = 4

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
GOLDEN_FILE = "golden.json"
FIDELITY_FILE = "fidelity.json"
FIDELITY_PAGE_FILE = "fidelity.html"
HEAD_FILE = "head.npz"
"""The tensors of the layers behind pooling, in models that have such layers (numpy's format, nothing pickled)."""

COMMON_FILES = (CONFIG_FILE, FIDELITY_FILE, FIDELITY_PAGE_FILE, GOLDEN_FILE)
"""What every bundle has, beside the graphs, tokenizers and tensors that its manifest refers to."""

ONLY_ENCODER = "text"
"""Name of the encoder in a model that has one for all texts."""

NATIVE_DOMAIN = "cpu2vec"
"""The domain of the project's own ONNX ops."""

T = TypeVar("T")


class BundleError(Exception):
    """A bundle that cannot be served; the message is one sentence that names what is wrong."""


class Kind(StrEnum):
    TEXT = "text"


class Target(StrEnum):
    AMD64 = "amd64"
    ARM64 = "arm64"


class Precision(StrEnum):
    INT8 = "int8"
    """The native kernels' 8 bits where the family has them, else onnxruntime's."""

    INT8_STOCK = "int8-stock"
    """8 bits in onnxruntime's own kernels."""

    FP32 = "fp32"


class PoolingMode(StrEnum):
    """How token embeddings become one vector; the names are those of sentence-transformers."""

    CLS = "cls"
    MAX = "max"
    MEAN = "mean"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    WEIGHTED_MEAN = "weightedmean"
    LAST_TOKEN = "lasttoken"


class LayerKind(StrEnum):
    DENSE = "dense"
    LAYER_NORM = "layer_norm"
    NORMALIZE = "normalize"
    TRUNCATE = "truncate"


LAYER_FIELDS = {
    LayerKind.DENSE: ("weight", "activation"),
    LayerKind.LAYER_NORM: ("weight", "bias"),
    LayerKind.NORMALIZE: (),
    LayerKind.TRUNCATE: ("size",),
}
"""The fields of a ``Layer`` that each kind needs."""


class Activation(StrEnum):
    IDENTITY = "identity"
    TANH = "tanh"
    RELU = "relu"
    GELU = "gelu"
    SILU = "silu"
    SIGMOID = "sigmoid"


class Layout(StrEnum):
    PADDED = "padded"
    """Inputs and output are (texts, tokens, …), as transformers' own exports have them."""

    PACKED = "packed"
    """Texts lie one behind the other: ids (tokens,) and lengths (texts,) in, (tokens, width) out."""


class Task(StrEnum):
    QUERY = "query"
    PASSAGE = "passage"


class SourceKind(StrEnum):
    HUB = "hub"
    PACKAGE = "package"
    DIRECTORY = "directory"


@dataclass(frozen=True)
class Source:
    """Where the model's files came from. ``revision``: the hub's commit, else ``sha256:`` and a content hash."""

    kind: SourceKind
    revision: str


@dataclass(frozen=True)
class FileEntry:
    size: int
    sha256: str


@dataclass(frozen=True)
class Fidelity:
    """Cosines between the bundle's vectors and those of the original model in fp32, on held-out texts."""

    texts: int
    cosine_mean: float
    cosine_p1: float
    cosine_min: float


@dataclass(frozen=True)
class OpSet:
    """Ops beside ONNX's own that a graph is made of; the runtime has them in a library."""

    domain: str
    version: int


@dataclass(frozen=True)
class Graph:
    """One ONNX graph that ends at token embeddings: its files, the names of its inputs in order, the output to read.

    ``ops`` is None for a graph that onnxruntime runs by itself.
    """

    file: str
    weights: str
    inputs: tuple[str, ...]
    output: str
    layout: Layout
    ops: OpSet | None


@dataclass(frozen=True)
class Pooling:
    """The pooled vectors of ``modes`` are concatenated. Without ``include_prompt`` the prompt's tokens are left out."""

    modes: tuple[PoolingMode, ...]
    include_prompt: bool


@dataclass(frozen=True)
class Layer:
    """A layer behind pooling. ``weight`` and ``bias`` are keys in ``head.npz``.

    dense: ``activation(weight @ x + bias)``, weight (out, in). layer_norm: weight and bias (width,). normalize: to unit
    length. truncate: the first ``size`` components. What a kind does not use is None.
    """

    kind: LayerKind
    weight: str | None = None
    bias: str | None = None
    activation: Activation | None = None
    size: int | None = None


@dataclass(frozen=True)
class WorkingMemory:
    """The most bytes that a run over n tokens takes beside weights: ``fixed`` + ``per_token`` n + ``per_pair`` n^2."""

    fixed: int
    per_token: int
    per_pair: int

    def of(self, tokens: int) -> int:
        return self.fixed + self.per_token * tokens + self.per_pair * tokens * tokens


@dataclass(frozen=True)
class Encoder:
    """One way from a text to its vector.

    ``tokenizer`` is a file of the bundle, ``graph`` a key in ``TextModel.graphs``; ``width`` is the number of a token
    embedding's components. ``max_tokens`` counts special tokens and the prompt's. ``prompt_tokens`` maps a prompt's
    name to the number of leading tokens that stand for it, special ones included, which pooling leaves out where it
    leaves prompts out.
    """

    architecture: str
    tokenizer: str
    graph: str
    width: int
    max_tokens: int
    pooling: Pooling
    layers: tuple[Layer, ...]
    prompt_tokens: dict[str, int]
    memory: WorkingMemory

    @property
    def normalizes(self) -> bool:
        """Whether vectors leave with unit length, unless they are cut after that."""
        kinds = [layer.kind for layer in self.layers if layer.kind is not LayerKind.TRUNCATE]
        return kinds[-1:] == [LayerKind.NORMALIZE]


@dataclass(frozen=True)
class TextModel:
    """What the runtime needs to know to turn text into the original's vector.

    ``prompts`` maps a name to the text that goes in front; ``tasks`` maps a request's task to a prompt's name.
    ``encoders`` has one entry, or one for each route of an asymmetric model; ``routes`` maps a request's task to an
    encoder's name, and ``default_encoder`` takes what has no task there (None: such a request is refused).
    """

    dim: int
    prompts: dict[str, str]
    default_prompt: str | None
    tasks: dict[str, str]
    encoders: dict[str, Encoder]
    routes: dict[str, str]
    default_encoder: str | None
    graphs: dict[str, Graph]

    def prompt_name(self, task: Task | None) -> str | None:
        """The prompt of a task; without a task the default prompt. None: nothing goes in front."""
        return self.default_prompt if task is None else self.tasks.get(task)

    def prompt(self, task: Task | None, name: str | None = None) -> str:
        """The text to put in front: that of the prompt with this ``name``, else the task's."""
        chosen = name or self.prompt_name(task)
        return "" if chosen is None else self.prompts[chosen]

    def encoder_name(self, task: Task | None) -> str | None:
        """The encoder for a task; None where a text without a task cannot be told which way to take."""
        return self.default_encoder if task is None else self.routes.get(task, self.default_encoder)

    @property
    def route_tasks(self) -> tuple[Task | None, ...]:
        """A task for each route that a text can take; None alone where the task does not matter."""
        return tuple(Task(task) for task in sorted(self.routes)) or (None,)

    @property
    def main_encoder(self) -> Encoder:
        """The encoder of a text without a task, else the first."""
        return self.encoders[self.default_encoder or min(self.encoders)]


@dataclass(frozen=True)
class Manifest:
    schema: int
    model: str
    source: Source
    licence: str | None
    kind: Kind
    target: Target
    precision: Precision
    files: dict[str, FileEntry]
    tools: dict[str, str]
    fidelity: Fidelity | None
    text: TextModel


@dataclass(frozen=True)
class GoldenText:
    """A text with the original's fp32 vector, and the lowest cosine to it that a sound runtime gives."""

    text: str
    task: Task | None
    prompt_name: str | None
    vector: tuple[float, ...]
    min_cosine: float


@dataclass(frozen=True)
class Golden:
    texts: tuple[GoldenText, ...]


def to_json(value: Any) -> str:
    """The canonical JSON of one of the dataclasses above: sorted keys, so that equal values give equal bytes."""
    return json.dumps(asdict(value), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(kind: type[T], text: str, name: str) -> T:
    """Decode ``text`` into ``kind``, strictly. Raises ``BundleError`` that names the field below ``name``."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{name} is not JSON: {error}") from None
    decoded: T = _decode(kind, value, name)
    return decoded


def read_manifest(directory: Path) -> Manifest:
    """Read and check ``manifest.json``. Raises ``BundleError``; another schema number says to rebuild."""
    text = read_text(directory, MANIFEST_FILE)
    try:
        schema = json.loads(text).get("schema")
    except (ValueError, AttributeError):
        raise BundleError(f"{MANIFEST_FILE} is not a JSON object") from None
    if schema != SCHEMA:
        raise BundleError(
            f"{MANIFEST_FILE} has schema {schema!r}, and this runtime reads schema {SCHEMA}: rebuild with quantize.py"
        )
    manifest = from_json(Manifest, text, MANIFEST_FILE)
    _check_references(manifest)
    return manifest


def read_text(directory: Path, name: str) -> str:
    """The text of a bundle's file. Raises ``BundleError`` if it cannot be read as UTF-8."""
    try:
        return (directory / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BundleError(f"{directory} has no {name}: not a complete bundle") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{directory / name} cannot be read: {error}") from None


def check_files(directory: Path, manifest: Manifest, hashes: bool) -> None:
    """Compare the directory with ``manifest.files``: names and sizes always, sha256 where ``hashes``.

    Raises ``BundleError`` for the first file that is missing, unknown, or of another size or content.
    """
    if unknown := sorted({entry.name for entry in directory.iterdir()} - set(manifest.files) - {MANIFEST_FILE}):
        raise BundleError(f"{directory} holds a file that is not of a bundle: {unknown[0]}")
    for name, entry in sorted(manifest.files.items()):
        path = directory / name
        if not path.is_file():
            raise BundleError(f"{directory} has no {name}: not a complete bundle")
        if (size := path.stat().st_size) != entry.size:
            raise BundleError(f"{name} has {size} bytes, and the manifest says {entry.size}: the bundle is damaged")
        if hashes and sha256_of(path) != entry.sha256:
            raise BundleError(f"{name} is not what the manifest says (sha256 differs): the bundle is damaged")


def bundle_files(text: TextModel) -> tuple[str, ...]:
    """Names, sorted, of the files that a bundle of this model has beside its manifest."""
    encoders, graphs = text.encoders.values(), text.graphs.values()
    names = {*COMMON_FILES, *(encoder.tokenizer for encoder in encoders)}
    names |= {name for graph in graphs for name in (graph.file, graph.weights)}
    if any(layer.weight is not None for encoder in encoders for layer in encoder.layers):
        names.add(HEAD_FILE)
    return tuple(sorted(names))


def describe_files(directory: Path, text: TextModel) -> dict[str, FileEntry]:
    """Size and sha256 of each of the model's files in ``directory``."""
    return {
        name: FileEntry(size=(directory / name).stat().st_size, sha256=sha256_of(directory / name))
        for name in bundle_files(text)
    }


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_references(manifest: Manifest) -> None:
    text = manifest.text
    if not text.encoders:
        raise BundleError(f"{MANIFEST_FILE}: text.encoders is empty")
    if odd := sorted(set(manifest.files) ^ set(bundle_files(text))):
        raise BundleError(f"{MANIFEST_FILE}: files: {odd[0]} is missing or not of a bundle")
    if odd := [name for name in manifest.files if name != Path(name).name]:
        raise BundleError(f"{MANIFEST_FILE}: files: {odd[0]} is not the name of a file in the bundle")
    _check_named("text.default_prompt", text.default_prompt, text.prompts)
    _check_named("text.default_encoder", text.default_encoder, text.encoders)
    for field, targets, known in (("tasks", text.tasks, text.prompts), ("routes", text.routes, text.encoders)):
        for task, target in targets.items():
            if task not in tuple(Task):
                raise BundleError(f"{MANIFEST_FILE}: text.{field} has an unknown task: {task}")
            _check_named(f"text.{field}.{task}", target, known)
    if text.dim < 1:
        raise BundleError(f"{MANIFEST_FILE}: text.dim is {text.dim}, and must be at least 1")
    for name, graph in text.graphs.items():
        _check_ops(f"text.graphs.{name}", graph)
    for name, encoder in text.encoders.items():
        _check_encoder(f"text.encoders.{name}", encoder, text)


def _check_ops(path: str, graph: Graph) -> None:
    if graph.ops is None:
        return
    if graph.layout is not Layout.PACKED:
        raise BundleError(f"{MANIFEST_FILE}: {path}.layout is {graph.layout}, and ops go with {Layout.PACKED} alone")
    if graph.ops.version < 1:
        raise BundleError(f"{MANIFEST_FILE}: {path}.ops.version is {graph.ops.version}, and must be at least 1")


def _check_encoder(path: str, encoder: Encoder, text: TextModel) -> None:
    _check_named(f"{path}.graph", encoder.graph, text.graphs)
    for prompt in encoder.prompt_tokens:
        _check_named(f"{path}.prompt_tokens", prompt, text.prompts)
    for field, value in (("max_tokens", encoder.max_tokens), ("width", encoder.width)):
        if value < 1:
            raise BundleError(f"{MANIFEST_FILE}: {path}.{field} is {value}, and must be at least 1")
    if not encoder.pooling.modes:
        raise BundleError(f"{MANIFEST_FILE}: {path}.pooling.modes is empty")
    for number, layer in enumerate(encoder.layers):
        needed = LAYER_FIELDS[layer.kind]
        if missing := sorted(field for field in needed if getattr(layer, field) is None):
            raise BundleError(f"{MANIFEST_FILE}: {path}.layers[{number}].{missing[0]} is missing")


def _check_named(field: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise BundleError(f"{MANIFEST_FILE}: {field} is {name}, and there is none of that name")


def _decode(kind: Any, value: Any, path: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _decode(next(arm for arm in get_args(kind) if arm is not types.NoneType), value, path)
    if origin is tuple:
        items = _expect(list, value, path)
        return tuple(_decode(get_args(kind)[0], item, f"{path}[{index}]") for index, item in enumerate(items))
    if origin is dict:
        return {
            key: _decode(get_args(kind)[1], item, f"{path}.{key}") for key, item in _expect(dict, value, path).items()
        }
    if is_dataclass(kind):
        return _decode_dataclass(kind, _expect(dict, value, path), path)
    if issubclass(kind, StrEnum):
        if value not in tuple(kind):
            raise BundleError(f"{path} is {value!r}, and must be one of {', '.join(kind)}")
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    return _expect(kind, value, path)


def _decode_dataclass(kind: Any, value: dict[str, Any], path: str) -> Any:
    names = [field.name for field in fields(kind)]
    if unknown := sorted(set(value) - set(names)):
        raise BundleError(f"{path} has an unknown field: {unknown[0]}")
    if missing := [name for name in names if name not in value]:
        raise BundleError(f"{path} has no field {missing[0]}")
    hints = get_type_hints(kind)
    return kind(**{name: _decode(hints[name], value[name], f"{path}: {name}") for name in names})


def _expect(kind: type, value: Any, path: str) -> Any:
    if type(value) is not kind:
        raise BundleError(f"{path} is {type(value).__name__}, and must be {kind.__name__}")
    return value
