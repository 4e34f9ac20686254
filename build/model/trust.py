"""What the user allows a model to bring besides data: by default, nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """What a model may bring."""

    remote_code: bool = False
    """Python code, which is run."""

    pickle: bool = False
    """Weights in pickles, which PyTorch reads as data only."""

    @property
    def use_safetensors(self) -> bool | None:
        """The argument of transformers: None uses safetensors where they exist, and pickles otherwise."""
        return None if self.pickle else True


NO_TRUST = Trust()
