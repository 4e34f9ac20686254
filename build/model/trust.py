"""Holds what the user lets a model bring along, beyond data: nothing, unless said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """``remote_code``: Python code that is run. ``pickle``: weights as pickles, which PyTorch reads as data alone."""

    remote_code: bool = False
    pickle: bool = False

    @property
    def use_safetensors(self) -> bool | None:
        """transformers' word for it: None takes safetensors where there are some, else pickles."""
        return None if self.pickle else True


NO_TRUST = Trust()
