"""Defines the bundle, the one artifact that the build hands to the runtime. Standard library only.

A bundle is a directory of the files in ``BUNDLE_FILES`` and ``manifest.json``, which names the size and sha256
of each. Reading is strict: a field, file, size or hash that is missing, unknown or wrong has a ``BundleError``
that names it.
"""

from __future__ import annotations

import hashlib
import json
import types
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

SCHEMA = 1

MANIFEST_FILE = "manifest.json"
GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"
GOLDEN_FILE = "golden.json"
FIDELITY_FILE = "fidelity.json"
BUNDLE_FILES = (CONFIG_FILE, FIDELITY_FILE, GOLDEN_FILE, GRAPH_FILE, WEIGHTS_FILE, TOKENIZER_FILE)

TOKEN_GRAPH = "tokens"
"""Key in ``TextModel.graphs`` of the graph that ends at token embeddings."""

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
    FP32 = "fp32"


class Pooling(StrEnum):
    MEAN = "mean"
    CLS = "cls"


class Layout(StrEnum):
    PADDED = "padded"
    """Inputs and output are (texts, tokens, …), as transformers' own exports have them."""


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
class Graph:
    """One ONNX graph: its file in the bundle, the names of its inputs in order, and of the output to read."""

    file: str
    inputs: tuple[str, ...]
    output: str
    layout: Layout


@dataclass(frozen=True)
class TextModel:
    """What the runtime needs to know to turn text into the original's vector.

    ``max_tokens`` counts special tokens and the prompt's. ``prompts`` maps a name to the text that goes in front;
    ``tasks`` maps a request's task to a prompt's name.
    """

    architecture: str
    dim: int
    max_tokens: int
    pooling: Pooling
    normalize: bool
    prompts: dict[str, str]
    default_prompt: str | None
    tasks: dict[str, str]
    graphs: dict[str, Graph]


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
    if unknown := sorted({entry.name for entry in directory.iterdir()} - set(BUNDLE_FILES) - {MANIFEST_FILE}):
        raise BundleError(f"{directory} holds a file that is not of a bundle: {unknown[0]}")
    for name, entry in sorted(manifest.files.items()):
        path = directory / name
        if not path.is_file():
            raise BundleError(f"{directory} has no {name}: not a complete bundle")
        if (size := path.stat().st_size) != entry.size:
            raise BundleError(f"{name} has {size} bytes, and the manifest says {entry.size}: the bundle is damaged")
        if hashes and sha256_of(path) != entry.sha256:
            raise BundleError(f"{name} is not what the manifest says (sha256 differs): the bundle is damaged")


def describe_files(directory: Path) -> dict[str, FileEntry]:
    """Size and sha256 of each of ``BUNDLE_FILES`` in ``directory``."""
    return {
        name: FileEntry(size=(directory / name).stat().st_size, sha256=sha256_of(directory / name))
        for name in BUNDLE_FILES
    }


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_references(manifest: Manifest) -> None:
    text = manifest.text
    if set(manifest.files) != set(BUNDLE_FILES):
        odd = sorted(set(manifest.files) ^ set(BUNDLE_FILES))[0]
        raise BundleError(f"{MANIFEST_FILE}: files: {odd} is missing or not of a bundle")
    if TOKEN_GRAPH not in text.graphs:
        raise BundleError(f"{MANIFEST_FILE}: text.graphs has no {TOKEN_GRAPH!r}")
    for name, graph in text.graphs.items():
        if graph.file not in manifest.files:
            raise BundleError(f"{MANIFEST_FILE}: text.graphs.{name}.file names no file of the bundle: {graph.file}")
    for field, low in (("dim", text.dim), ("max_tokens", text.max_tokens)):
        if low < 1:
            raise BundleError(f"{MANIFEST_FILE}: text.{field} is {low}, and must be at least 1")
    if text.default_prompt is not None and text.default_prompt not in text.prompts:
        raise BundleError(f"{MANIFEST_FILE}: text.default_prompt names no prompt: {text.default_prompt}")
    for task, prompt in text.tasks.items():
        if task not in tuple(Task):
            raise BundleError(f"{MANIFEST_FILE}: text.tasks has an unknown task: {task}")
        if prompt not in text.prompts:
            raise BundleError(f"{MANIFEST_FILE}: text.tasks.{task} names no prompt: {prompt}")


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
