"""Builds the routes that answer something about each token, for kinds that embed texts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from runtime.metrics.work_figures import WorkFigures

if TYPE_CHECKING:
    from runtime.api.embeddings.asked import Choice
    from runtime.api.embeddings.endpoint import Batches
    from runtime.api.embeddings.tokens import TokensEndpoint
    from runtime.batches.each_text import EachText
    from runtime.batches.request import Group
    from runtime.scheduling.cost_class import Priority
    from runtime.scheduling.job import Steps
    from runtime.scheduling.scheduler import Scheduler
    from runtime.text.tokenizer import Tokenizer

ANSWERS_SHARE = 8
"""An answer takes at most this part of the memory for texts at work, which is what all large ones take together."""

BeginGroup = Callable[["Group"], "Steps[Any]"]


class TokenRoutes:
    """What the routes of a model share."""

    def __init__(
        self,
        scheduler: Scheduler[Any],
        batches: Batches,
        in_flight: int,
        budget_bytes: int,
        seconds: float | None,
        figures: WorkFigures,
    ) -> None:
        """``scheduler`` takes functions that begin a job. ``budget_bytes``: for texts at work."""
        self._scheduler, self._served, self._like_of = scheduler, batches.served, batches.like_of
        self._in_flight, self._answer_bytes = in_flight, budget_bytes // ANSWERS_SHARE
        self._seconds, self._figures = seconds, figures

    def tokenize(self, tokenizer_of: Callable[[Any], Tokenizer]) -> TokensEndpoint:
        """``tokenizer_of``: that of the request for a text."""
        from runtime.api.embeddings.tokens import BYTES_PER_LISTED_TOKEN, TOKENIZE, TokensEndpoint, write_tokens
        from runtime.text.token_listing import Listing, list_tokens

        def like_of(choice: Choice) -> Listing:
            return Listing(self._like_of(choice), choice.special_tokens)

        most = self._most(BYTES_PER_LISTED_TOKEN)

        def begin(group: Group) -> Steps[Any]:
            return list_tokens(tokenizer_of(group.like.like), group, write_tokens, most)

        texts = self._texts(begin, most)
        return TokensEndpoint(TOKENIZE, self._served, like_of, texts, BYTES_PER_LISTED_TOKEN)

    def embed_all(self, begin: BeginGroup, width: int, window: int) -> TokensEndpoint:
        """``begin`` gives vectors of so many components, for a text of at most so many tokens."""
        from runtime.api.embeddings.layout import BYTES_PER_NUMBER
        from runtime.api.embeddings.tokens import EMBED_ALL, TokensEndpoint

        token_bytes = width * BYTES_PER_NUMBER
        texts = self._texts(begin, max(window, self._most(token_bytes)))
        return TokensEndpoint(EMBED_ALL, self._served, self._like_of, texts, token_bytes)

    def _most(self, token_bytes: int) -> int:
        """Tokens of a request about which an answer can have so many bytes each."""
        return max(1, self._answer_bytes // token_bytes)

    def _texts(self, begin: BeginGroup, max_tokens: int) -> EachText:
        from runtime.batches.each_text import EachText

        def submit(group: Group, priority: Priority) -> Coroutine[Any, Any, Any]:
            return self._scheduler.submit(partial(begin, group), priority=priority)

        return EachText(submit, self._in_flight, max_tokens, self._seconds, figures=self._figures)
