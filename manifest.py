"""Defines the bundle, the only interface between build and runtime. Standard library only.

A bundle is a directory of files and ``manifest.json``, which names the size and sha256 of each. Reading is strict: a
field, file, size or hash that is missing, unknown or wrong raises a ``BundleError`` that names it.

The manifest is a header, the same for all kinds of model, and a section of the model's kind (``sections/``).
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import types
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sections.base import BundleError as BundleError
from sections.base import Section as Section
from sections.clip import ClipModel as ClipModel
from sections.clip import ImageModel as ImageModel
from sections.clip import ImageSource as ImageSource
from sections.parts import HEAD_FILE as HEAD_FILE
from sections.parts import Activation as Activation
from sections.parts import Encoder as Encoder
from sections.parts import Graph as Graph
from sections.parts import Layer as Layer
from sections.parts import LayerKind as LayerKind
from sections.parts import Layout as Layout
from sections.parts import OpSet as OpSet
from sections.parts import Pooling as Pooling
from sections.parts import PoolingMode as PoolingMode
from sections.parts import WorkingMemory as WorkingMemory
from sections.pixels import PixelInput as PixelInput
from sections.pixels import Resample as Resample
from sections.rerank import RerankModel as RerankModel
from sections.static import MAX_PADDING as MAX_PADDING
from sections.static import Padding as Padding
from sections.static import Reading as Reading
from sections.static import StaticModel as StaticModel
from sections.text import ONLY_ENCODER as ONLY_ENCODER
from sections.text import Task as Task
from sections.text import TextModel as TextModel

SCHEMA = 5
"""The only schema that this version reads and writes."""

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
GOLDEN_FILE = "golden.json"
FIDELITY_FILE = "fidelity.json"
FIDELITY_PAGE_FILE = "fidelity.html"

COMMON_FILES = (CONFIG_FILE, FIDELITY_FILE, GOLDEN_FILE)
"""The files that every bundle has, besides those of its section."""

OPTIONAL_FILES = (FIDELITY_PAGE_FILE,)
"""Files for people; a bundle is served without them."""

NATIVE_DOMAIN = "cpu2vec"
"""The domain of the project's own ONNX ops."""

T = TypeVar("T")


class Kind(StrEnum):
    """What a bundle answers. The name of a kind is the name of its section in ``manifest.json``."""

    CLIP = "clip"
    """Texts and images in, vectors of one space out."""

    RERANK = "rerank"
    """A query and documents in, a score for each document out."""

    STATIC = "static"
    """Texts in, vectors out, by a table of vectors."""

    TEXT = "text"
    """Texts in, vectors out."""


SECTIONS: dict[Kind, type[Section]] = {
    Kind.CLIP: ClipModel,
    Kind.RERANK: RerankModel,
    Kind.STATIC: StaticModel,
    Kind.TEXT: TextModel,
}
"""The section of each kind."""


class Target(StrEnum):
    AMD64 = "amd64"
    ARM64 = "arm64"

    @classmethod
    def of_machine(cls, machine: str | None = None) -> Target | None:
        """The target of a ``machine`` as ``uname -m`` spells it (default: this one); None if no bundle fits it."""
        return MACHINES.get((machine or platform.machine()).lower())


MACHINES = {"x86_64": Target.AMD64, "amd64": Target.AMD64, "aarch64": Target.ARM64, "arm64": Target.ARM64}
"""How operating systems spell the architectures."""


class Precision(StrEnum):
    """How weights are stored."""

    INT8 = "int8"
    """8 bits, for the native kernels where they have the model's family, and otherwise for onnxruntime's."""

    INT8_STOCK = "int8-stock"
    """8 bits, for onnxruntime's own kernels."""

    FP32 = "fp32"

    STORED = "stored"
    """As the model's files have them; for static models."""


class SourceKind(StrEnum):
    HUB = "hub"
    PACKAGE = "package"
    DIRECTORY = "directory"


@dataclass(frozen=True)
class Source:
    """Where the model's files came from."""

    kind: SourceKind
    revision: str
    """The hub's commit, or else ``sha256:`` and a content hash."""
    requested: str | None = None
    """The branch, tag or commit that the user asked for; None: the newest."""
    code_revision: str | None = None
    """The commit of the other repository that holds the model's code; None where there is no such repository."""


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle."""

    size: int
    sha256: str


@dataclass(frozen=True)
class CosineFigures:
    """Cosines between the bundle's vectors and those of the original model in fp32, on held-out inputs."""

    count: int
    mean: float
    p1: float
    """The 1st percentile."""
    minimum: float


@dataclass(frozen=True)
class ScoreFigures:
    """Differences between the bundle's logits and those of the original model in fp32, on held-out pairs."""

    count: int
    error_mean: float
    error_max: float
    error_rms: float
    """As a share of the standard deviation of the original's."""
    rank_agreement: float
    """Kendall's tau between the rankings of both, averaged over the queries."""
    top_kept: float
    """The share of queries whose best document stays the best."""


@dataclass(frozen=True)
class Fidelity:
    """How close the bundle is to the original; a kind fills in the figures that it has."""

    cosine: CosineFigures | None = None
    scores: ScoreFigures | None = None


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says."""

    schema: int
    version: str
    """The version of this project that made the bundle."""
    model: str
    source: Source
    licence: str | None
    kind: Kind
    target: Target
    precision: Precision
    files: dict[str, FileEntry]
    tools: dict[str, str]
    fidelity: Fidelity | None
    """None until the bundle has been verified."""
    section: Section
    """In JSON, the field with the kind's name."""

    def section_as(self, kind: type[T]) -> T:
        """The section, for code that knows its kind. Raises ``BundleError`` for a bundle of another kind."""
        if not isinstance(self.section, kind):
            raise BundleError(f"{MANIFEST_FILE}: a bundle of kind {self.kind} has no {kind.__name__}")
        return self.section


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may be from the expected one. Numbers without a tolerance must be equal."""

    min_cosine: float | None = None
    """The lowest cosine between vectors."""
    max_error: float | None = None
    """The largest difference between numbers."""


@dataclass(frozen=True)
class GoldenRequest:
    """A request with the original's answer, which a correct server gives within the tolerance."""

    route: str
    """The path that takes the request as a POST."""
    body: dict[str, Any]
    answer: dict[str, Any]
    """The fields that are compared; an answer may have others."""
    tolerance: Tolerance


@dataclass(frozen=True)
class Golden:
    """The requests that a server answers before it reports ready."""

    requests: tuple[GoldenRequest, ...]


def read_manifest(directory: Path) -> Manifest:
    """Read and check ``manifest.json``. Raises ``BundleError``; for another schema number it says to rebuild."""
    value = _read_object(directory, MANIFEST_FILE)
    if (schema := value.get("schema")) != SCHEMA:
        raise BundleError(
            f"{MANIFEST_FILE} has schema {schema!r}, and this version reads schema {SCHEMA}: rebuild with quantize.py"
        )
    kind = Kind(_decode(Kind, value.get("kind"), f"{MANIFEST_FILE}: kind"))
    if kind not in value:
        raise BundleError(f"{MANIFEST_FILE} has no field {kind}")
    section = _decode(SECTIONS[kind], value.pop(kind), f"{MANIFEST_FILE}: {kind}")
    manifest = Manifest(**_decode_fields(Manifest, value, MANIFEST_FILE, without="section"), section=section)
    _check(manifest)
    return manifest


def manifest_fields(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON has it: the section under the kind's name."""
    values = asdict(manifest)
    values[manifest.kind.value] = values.pop("section")
    return values


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``."""
    (directory / MANIFEST_FILE).write_text(canonical(manifest_fields(manifest)), encoding="utf-8")


def bundle_files(section: Section) -> tuple[str, ...]:
    """Names, sorted, of the files that a bundle with this section needs besides its manifest."""
    return tuple(sorted({*COMMON_FILES, *section.files()}))


def describe_files(directory: Path, section: Section) -> dict[str, FileEntry]:
    """Size and sha256 of each file of the bundle in ``directory``; optional files only if they are there."""
    names = [*bundle_files(section), *(name for name in OPTIONAL_FILES if (directory / name).exists())]
    return {
        name: FileEntry(size=(directory / name).stat().st_size, sha256=sha256_of(directory / name))
        for name in sorted(names)
    }


def check_files(directory: Path, manifest: Manifest, hashes: bool) -> None:
    """Compare the directory with ``manifest.files``: names and sizes always, sha256 if ``hashes``.

    Raises ``BundleError`` for the first file that is missing, unknown, or of another size or content.
    """
    if unknown := sorted({entry.name for entry in directory.iterdir()} - set(manifest.files) - {MANIFEST_FILE}):
        raise BundleError(f"{directory} has a file that does not belong to a bundle: {unknown[0]}")
    for name, entry in sorted(manifest.files.items()):
        path = directory / name
        if not path.is_file():
            if name in OPTIONAL_FILES:
                continue
            raise BundleError(f"{directory} has no {name}: not a complete bundle")
        if (size := path.stat().st_size) != entry.size:
            raise BundleError(f"{name} has {size} bytes instead of the manifest's {entry.size}: the bundle is damaged")
        if hashes and sha256_of(path) != entry.sha256:
            raise BundleError(f"{name} does not have the manifest's sha256: the bundle is damaged")


def read_text(directory: Path, name: str) -> str:
    """The text of a bundle's file. Raises ``BundleError`` if it cannot be read as UTF-8."""
    try:
        return (directory / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BundleError(f"{directory} has no {name}: not a complete bundle") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{directory / name} cannot be read: {error}") from None


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def project_version() -> str:
    """This project's version, from the file ``VERSION`` beside this one."""
    return Path(__file__).with_name("VERSION").read_text(encoding="utf-8").strip()


def to_json(value: Any) -> str:
    """The canonical JSON of a dataclass: sorted keys, so that equal values give equal bytes."""
    return canonical(asdict(value))


def from_json(kind: type[T], text: str, name: str) -> T:
    """Decode ``text`` into ``kind``, strictly. Raises ``BundleError`` that names the field below ``name``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is not JSON: {error}") from None
    decoded: T = _decode(kind, value, name)
    return decoded


def _check(manifest: Manifest) -> None:
    try:
        manifest.section.check()
    except BundleError as error:
        raise BundleError(f"{MANIFEST_FILE}: {error}") from None
    if odd := sorted((set(manifest.files) ^ set(bundle_files(manifest.section))) - set(OPTIONAL_FILES)):
        raise BundleError(f"{MANIFEST_FILE}: files: {odd[0]} is missing or does not belong to a bundle")
    if odd := [name for name in manifest.files if name != Path(name).name]:
        raise BundleError(f"{MANIFEST_FILE}: files: {odd[0]} is not the name of a file in the bundle")


def _read_object(directory: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(read_text(directory, name))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BundleError(f"{name} is not a JSON object")
    return value


def canonical(value: dict[str, Any]) -> str:
    """JSON with sorted keys, so that equal values give equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _decode(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
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
        return _construct(kind, _decode_fields(kind, _expect(dict, value, path), path))
    if issubclass(kind, StrEnum):
        if value not in tuple(kind):
            raise BundleError(f"{path} must be one of {', '.join(kind)}, not {value!r}")
        return kind(value)
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise BundleError(f"{path} is too large a number") from None
    return _expect(kind, value, path)


def _construct(kind: Any, values: dict[str, Any]) -> Any:
    return kind(**values)


def _decode_fields(kind: Any, value: dict[str, Any], path: str, without: str = "") -> dict[str, Any]:
    """The decoded fields of a dataclass; ``without``: the name of a field that is not in ``value``."""
    names = [field.name for field in fields(kind) if field.name != without]
    if unknown := sorted(set(value) - set(names)):
        raise BundleError(f"{path} has an unknown field: {unknown[0]}")
    if missing := [name for name in names if name not in value]:
        raise BundleError(f"{path} has no field {missing[0]}")
    hints = _types_of(kind)
    return {name: _decode(hints[name], value[name], f"{path}: {name}") for name in names}


@functools.cache
def _types_of(kind: Any) -> dict[str, Any]:
    """The type of each field of a dataclass."""
    # PERF: each annotation is compiled, and a bundle has dozens of golden requests of the same type.
    return get_type_hints(kind)


def _expect(kind: type, value: Any, path: str) -> Any:
    if type(value) is not kind:
        raise BundleError(f"{path} must be {kind.__name__}, not {type(value).__name__}")
    return value
