"""How much of a text counts: the original's limits, as ``LONG_TEXT`` and ``MAX_TOKENS`` change them."""

from __future__ import annotations

from dataclasses import dataclass

from manifest import Padding, StaticModel
from runtime.errors import InvalidRequest, SettingsError
from runtime.text.long_text import LongText


@dataclass(frozen=True)
class Limits:
    """What lies beyond a limit is left out, or refused. None: there is no such limit."""

    characters: int | None
    """Of the text with its prompt, before it is tokenized."""
    tokenizer: int | None
    """Tokens, unknown ones included."""
    tokens: int | None
    """Tokens that count."""
    refuses: bool
    """Whether a text beyond a limit is refused."""
    reason: str = "LONG_TEXT is error"
    """Why it is refused, in messages."""

    def cut(self, text: str) -> str:
        """The characters that are tokenized. Raises ``InvalidRequest`` where longer texts are refused."""
        if self.characters is None or len(text) <= self.characters:
            return text
        if self.refuses:
            raise InvalidRequest(
                f"text must have at most {self.characters} characters, including its prompt, but has {len(text)} "
                f"({self.reason})"
            )
        return text[: self.characters]

    def take(self, ids: list[int], seen: int, counted: int, unknown_id: int | None) -> list[int]:
        """The ``ids`` that count, after ``seen`` others of the text, of which ``counted`` did.

        Raises ``InvalidRequest`` where longer texts are refused.
        """
        known = ids if self.tokenizer is None else ids[: max(0, self.tokenizer - seen)]
        dropped = len(known) < len(ids)
        if unknown_id is not None and unknown_id in known:
            known = [token for token in known if token != unknown_id]
        taken = known if self.tokens is None else known[: max(0, self.tokens - counted)]
        if self.refuses and (dropped or len(taken) < len(known)):
            most = min(limit for limit in (self.tokenizer, self.tokens) if limit is not None)
            raise InvalidRequest(f"text must have at most {most} tokens, including its prompt ({self.reason})")
        return taken

    def padding_after(self, padding: Padding, seen: int, counted: int) -> int:
        """How many padding tokens count behind the ``seen`` tokens of a text, of which ``counted`` did."""
        count = padding.count(seen if self.tokenizer is None else min(seen, self.tokenizer))
        return count if self.tokens is None else min(count, max(0, self.tokens - counted))

    def is_beyond(self, seen: int, counted: int) -> bool:
        """Whether tokens were left out: ``seen`` are those of the text, and ``counted`` those that count."""
        return (self.tokenizer is not None and seen > self.tokenizer) or (
            self.tokens is not None and seen > counted >= self.tokens
        )

    def reached(self, seen: int, counted: int) -> bool:
        """Whether no further token can count. One more has to be seen where longer texts are refused."""
        if self.refuses:
            return False
        return (self.tokenizer is not None and seen >= self.tokenizer) or (
            self.tokens is not None and counted >= self.tokens
        )


def limits_of(model: StaticModel, long_text: LongText, wanted: int | None) -> Limits:
    """The limits under the settings; ``wanted``: ``MAX_TOKENS``. Raises ``SettingsError`` if it exceeds the model's."""
    if wanted is not None and model.max_tokens is not None and wanted > model.max_tokens:
        raise SettingsError(f"MAX_TOKENS must be at most {model.max_tokens}, the model's limit, not {wanted}")
    if long_text is LongText.CHUNK:
        return Limits(None, None, None, refuses=False)
    tokens = wanted or model.max_tokens
    per_token = model.characters_per_token
    characters = None if tokens is None or per_token is None else tokens * per_token
    return Limits(characters, model.tokenizer_limit, tokens, refuses=long_text is LongText.ERROR)
