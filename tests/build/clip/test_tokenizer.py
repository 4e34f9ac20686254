"""SigLIP's tokenizer in the runtime's form has the ids of transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build.clip.tokenizer import runtime_tokenizer
from tests.support.models.tiny_clip import siglip_tokenizer
from tests.support.models.tiny_tokenizers import CHARACTERS, WORDS

MARKS = "\u0301\u0308\u200d"
"""They combine with what is before them, which the library does not take apart as sentencepiece does."""

LETTERS = [letter for letter in f"{CHARACTERS} \t\n\x00\x1c\xa0\u200b\u2581\u3000_İΣ\ufb01①！" if letter not in MARKS]
TEXTS = st.lists(st.sampled_from([*LETTERS, *WORDS.split(), *WORDS.upper().split()]), max_size=30).map("".join)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return siglip_tokenizer(tmp_path_factory.mktemp("siglip"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "...",
        "river",
        "  The RIVER, a stone!  ",
        "! hello",
        "_river_",
        "\u2581river\u2581",
        "图书馆 🙂",
        "zero\x00byte",
        "a\x1cb\xa0c\u3000d",
        "İstanbul ΣΑΣ",
        "river " * 50,
        "x" * 5000,
    ],
)
def test_a_text_has_the_originals_ids(original: Any, text: str):
    assert runtime_tokenizer(original).encode(text).ids == original(text)["input_ids"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(text=TEXTS)
def test_every_text_of_plain_characters_has_the_originals_ids(original: Any, text: str):
    assert runtime_tokenizer(original).encode(text).ids == original(text)["input_ids"]


def test_capitals_may_count(original: Any):
    cased = type(original)(original.vocab_file, do_lower_case=False)
    assert runtime_tokenizer(cased).encode("River A").ids == cased("River A")["input_ids"]
    assert cased("River")["input_ids"] != cased("river")["input_ids"]
