"""The texts that are sent: their lengths, seeds and words."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from bench.load.texts import EIGHT_KB, LONG, SHORT, Length, endless_texts, words


def first_texts(length: Length, count: int, seed: str) -> list[str]:
    return list(islice(endless_texts(length, seed), count))


class TestTexts:
    @pytest.mark.parametrize("length", [SHORT, LONG, EIGHT_KB], ids=lambda length: length.name)
    def test_are_distinct_and_of_the_length_that_is_promised(self, length: Length):
        texts = first_texts(length, 2000, "a")
        counts = {len(text.split()) for text in texts}
        assert len(set(texts)) == 2000
        assert counts == set(range(length.low, length.high + 1))

    def test_are_the_same_for_the_same_seed_and_others_for_another(self):
        assert first_texts(SHORT, 50, "a") == first_texts(SHORT, 50, "a")
        assert not set(first_texts(SHORT, 50, "a")) & set(first_texts(SHORT, 50, "b"))

    def test_need_no_escape_in_json(self):
        for text in first_texts(LONG, 20, "a"):
            assert text.isascii()
            assert json.dumps(text) == f'"{text}"'

    def test_of_8_kb_have_as_many(self):
        assert all(7500 < len(text) < 8500 for text in first_texts(EIGHT_KB, 200, "a"))

    def test_come_from_many_distinct_words(self):
        assert len(words()) == len(set(words())) > 900
