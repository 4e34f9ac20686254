"""The texts that are sent: their lengths, seeds and words."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from bench.server.texts import EIGHT_KB, LONG, SHORT, Length, endless_texts, make_texts, words


class TestTexts:
    @pytest.mark.parametrize("length", [SHORT, LONG, EIGHT_KB], ids=lambda length: length.name)
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

    def test_of_8_kb_have_as_many(self):
        assert all(7500 < len(text) < 8500 for text in make_texts(EIGHT_KB, 200, "a"))

    def test_the_endless_ones_begin_alike(self):
        assert list(islice(endless_texts(SHORT, "a"), 50)) == make_texts(SHORT, 50, "a")

    def test_come_from_many_distinct_words(self):
        assert len(words()) == len(set(words())) > 900
