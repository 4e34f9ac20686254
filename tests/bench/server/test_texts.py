"""The texts that are sent: their lengths, seeds and words."""

from __future__ import annotations

import json

import pytest

from bench.server.texts import LONG, SHORT, Length, make_texts, words


class TestTexts:
    @pytest.mark.parametrize("length", [SHORT, LONG], ids=lambda length: length.name)
    def test_are_distinct_and_of_the_length_that_is_promised(self, length: Length):
        texts = make_texts(length, 2000, "a")
        counts = {len(text.split()) for text in texts}
        assert len(set(texts)) == 2000
        assert counts == set(range(length.low, length.high + 1))

    def test_are_the_same_for_the_same_seed_and_others_for_another(self):
        assert make_texts(SHORT, 50, "a") == make_texts(SHORT, 50, "a")
        assert not set(make_texts(SHORT, 50, "a")) & set(make_texts(SHORT, 50, "b"))

    def test_need_no_escape_in_json(self):
        for text in make_texts(LONG, 20, "a"):
            assert text.isascii()
            assert json.dumps(text) == f'"{text}"'

    def test_come_from_many_distinct_words(self):
        assert len(words()) == len(set(words())) > 900
