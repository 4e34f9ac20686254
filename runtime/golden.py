"""Checks that this machine gives the vectors that the build saw, before the server turns ready."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from manifest import Golden, TextModel
from runtime.errors import GoldenMismatch
from runtime.text.request import EmbedRequest, plain_request

SHOWN_CHARACTERS = 60


def check_golden(
    golden: Golden,
    model: TextModel,
    embed: Callable[[EmbedRequest], NDArray[np.float32]],
    fits: Callable[[EmbedRequest], bool],
) -> None:
    """Embed every golden text that fits into one window.

    Raises ``GoldenMismatch`` for the first below its floor, or with a prompt that the model does not have.
    """
    for entry in golden.texts:
        if entry.prompt_name not in (None, *model.prompts):
            raise GoldenMismatch(
                f"the golden text {entry.text[:SHOWN_CHARACTERS]!r} wants the prompt {entry.prompt_name}, and the "
                "bundle has none of that name: rebuild it with quantize.py"
            )
        request = plain_request(model, entry.text, entry.task, entry.prompt_name)
        if not fits(request):
            continue
        cosine = cosine_of(embed(request), np.asarray(entry.vector, dtype=np.float32))
        if not cosine >= entry.min_cosine:
            given = f"task {entry.task}" if entry.prompt_name is None else f"prompt {entry.prompt_name}"
            raise GoldenMismatch(
                f"the golden text {entry.text[:SHOWN_CHARACTERS]!r} ({given}) came out with a cosine of "
                f"{cosine:.6f} to the original, and at least {entry.min_cosine:.6f} is expected: "
                "this runtime and this bundle do not belong together"
            )


def cosine_of(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """The cosine of two vectors in float64; −1 where their shapes differ, 1 where both are zero."""
    if left.shape != right.shape:
        return -1.0
    a, b = left.astype(np.float64), right.astype(np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return 1.0 if np.array_equal(a, b) else -1.0
    return float(a @ b) / norms
