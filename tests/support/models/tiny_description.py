"""Describes the directory of a tiny model: its transformer, its tokenizer, and sentence-transformers' files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HIDDEN, LAYERS, HEADS, INTERMEDIATE, TYPES = 32, 2, 2, 48, 2

PROMPTS = {"query": "query: ", "passage": "passage: "}

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>{% endfor %}"
)


@dataclass(frozen=True)
class Dense:
    """A dense layer."""

    out: int
    bias: bool = True
    activation: str = "Tanh"
    """The name of a torch module: Identity, Tanh, ReLU, GELU, SiLU or Sigmoid."""


@dataclass(frozen=True)
class LayerNorm:
    """A layer norm over the whole vector."""


@dataclass(frozen=True)
class Normalize:
    """Division by the vector's norm."""


@dataclass(frozen=True)
class Dropout:
    """A layer that has no effect outside training."""

    share: float = 0.2


Layer = Dense | LayerNorm | Normalize | Dropout


@dataclass(frozen=True)
class Routes:
    """The two routes of a Router: each is a model of its own, or the layers after a transformer that both share."""

    query: TinyModel | tuple[Layer, ...]
    document: TinyModel | tuple[Layer, ...]
    default: str | None = "document"
    """The route of a text without a task; None: such a text is refused."""


@dataclass(frozen=True)
class TinyModel:
    """What the directory of a tiny model contains."""

    name: str
    """The directory's name, and the seed of the random weights."""

    family: str
    """The ``model_type`` in config.json."""

    tokenizer: str
    """A key of ``TOKENIZERS``."""

    architecture: str
    """The class of transformers that saves the weights."""

    pooling: str | tuple[str, ...] | None = "mean"
    """Several modes are concatenated (in the older form in the order of its flags). None: a bare transformer, without
    sentence-transformers' files."""

    normalize: bool = False
    """Whether ``Normalize`` is the last layer."""

    newer_form: bool = False
    """Whether files are as sentence-transformers 5 writes them, or as version 2 did."""

    positions: int = 64
    max_seq_length: int | None = 48
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    dtype: str = "float32"
    shard_size: str = "1GB"
    """Weights larger than this are split into several files."""

    bake_limits: bool = False
    """Whether tokenizer.json truncates and pads on its own."""

    without: tuple[str, ...] = ()
    """Files that are removed at the end."""

    include_prompt: bool = True
    layers: tuple[Layer, ...] = ()
    """What follows pooling (or the router), before ``normalize``."""

    truncate_dim: int | None = None
    router: Routes | None = None
    """With a router, sentence-transformers itself writes the directory. Where its routes are two models, this one has
    no transformer of its own."""

    chat_template: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """Keys of the transformer's config that differ from its family's here."""

    weights: str | None = None
    """The name of another model with the same transformer, whose random weights this one shares."""

    code_repository: str | None = None
    """Where ``auto_map`` says that a model's own code is; None: beside the weights."""

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def seed(self) -> int:
        """The seed of the random weights."""
        return sum((self.weights or self.name).encode())

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of pooling, as a tuple."""
        return (self.pooling,) if isinstance(self.pooling, str) else self.pooling or ()

    @property
    def all_layers(self) -> tuple[Layer, ...]:
        """What follows pooling, the last ``Normalize`` included."""
        return (*self.layers, Normalize()) if self.normalize else self.layers
