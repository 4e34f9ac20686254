"""Says what a tiny model's directory shall hold: its transformer, its tokenizer, and sentence-transformers' files."""

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
    """``activation`` is the name of a torch module: Identity, Tanh, ReLU, GELU, SiLU, Sigmoid."""

    out: int
    bias: bool = True
    activation: str = "Tanh"


@dataclass(frozen=True)
class LayerNorm:
    pass


@dataclass(frozen=True)
class Normalize:
    pass


@dataclass(frozen=True)
class Dropout:
    share: float = 0.2


Layer = Dense | LayerNorm | Normalize | Dropout


@dataclass(frozen=True)
class Routes:
    """The two ways of a Router: two models, or the layers that two ways through one model end in.

    ``default``: the way of a text that comes without a task; None: such a text is refused.
    """

    query: TinyModel | tuple[Layer, ...]
    document: TinyModel | tuple[Layer, ...]
    default: str | None = "document"


@dataclass(frozen=True)
class TinyModel:
    """What one model's directory shall hold.

    ``pooling`` None: a bare transformer, without sentence-transformers' files; several modes are concatenated (in
    the older form in the order of its flags, whatever the order here). ``newer_form``: files as sentence-transformers
    5 writes them. ``bake_limits``: tokenizer.json truncates and pads on its own. ``without``: files that are removed
    at the end. ``layers``: what follows pooling (or the router), before ``normalize``. ``router``: such a directory is
    written by sentence-transformers itself; where its ways are two models, this one has no transformer of its own.
    ``settings``: keys of the transformer's config that differ from what its family has here.
    ``weights``: the name of another model of the same transformer, whose random weights this one shares.
    ``code_repository``: where ``auto_map`` says that a model's own code lies; None: beside the weights.
    """

    name: str
    family: str
    tokenizer: str
    architecture: str
    pooling: str | tuple[str, ...] | None = "mean"
    normalize: bool = False
    newer_form: bool = False
    positions: int = 64
    max_seq_length: int | None = 48
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    dtype: str = "float32"
    shard_size: str = "1GB"
    bake_limits: bool = False
    without: tuple[str, ...] = ()
    include_prompt: bool = True
    layers: tuple[Layer, ...] = ()
    truncate_dim: int | None = None
    router: Routes | None = None
    chat_template: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    code_repository: str | None = None

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def seed(self) -> int:
        return sum((self.weights or self.name).encode())

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of pooling."""
        return (self.pooling,) if isinstance(self.pooling, str) else self.pooling or ()

    @property
    def all_layers(self) -> tuple[Layer, ...]:
        return (*self.layers, Normalize()) if self.normalize else self.layers
