"""Pairs of texts as tokens: the same as those of the library ``tokenizers``, truncated as it truncates them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from manifest import BundleError
from runtime.inference.token_batch import TokenBatch
from runtime.rerank.pair_tokens import PairTokens, TextTokens, truncated_lengths
from runtime.text.tokenizer import SEGMENT_CHARACTERS, Tokenizer

WORDS = {word: number for number, word in enumerate(["[UNK]", "<s>", "</s>", "a", "b", "c", "two", "words"])}
ENDS = [("<s>", 1), ("</s>", 2)]
PROCESSORS = {
    "bert": processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B:1 </s>:1", ENDS),
    "roberta": processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ENDS),
    "bare": None,
}


def write_tokenizer(directory: Path, kind: str = "bert") -> Path:
    tokenizer = FastTokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if PROCESSORS[kind] is not None:
        tokenizer.post_processor = PROCESSORS[kind]
    path = directory / f"{kind}.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("tokenizers")
    return {kind: write_tokenizer(directory, kind) for kind in PROCESSORS}


def finish(reading) -> TextTokens:
    while True:
        try:
            assert next(reading).run is None
        except StopIteration as stop:
            return stop.value


def join(pairs: PairTokens, query: str, document: str) -> TokenBatch:
    tokens = finish(pairs.query(query))
    return pairs.join(tokens, finish(pairs.document(document, tokens)))


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "two", "x"]), max_size=12).map(" ".join)


@pytest.mark.parametrize("kind", PROCESSORS)
@given(query=TEXTS, document=TEXTS, limit=st.integers(6, 30))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_pairs_are_those_of_the_library(paths, kind: str, query: str, document: str, limit: int):
    original = FastTokenizer.from_file(str(paths[kind]))
    original.enable_truncation(limit, strategy="longest_first")
    expected = original.encode(query, document)
    batch = join(PairTokens(Tokenizer(paths[kind]), limit, token_types=True), query, document)
    assert batch.ids.tolist() == expected.ids
    assert batch.types is not None
    assert batch.types.tolist() == expected.type_ids


def test_a_model_without_token_types_gets_none(paths):
    assert join(PairTokens(Tokenizer(paths["bert"]), 30, token_types=False), "a", "b").types is None


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 50])
@pytest.mark.parametrize("second", [0, 1, 3, 4, 5, 51])
@pytest.mark.parametrize("capacity", [2, 7, 8])
def test_lengths_fit_and_use_all_room(first: int, second: int, capacity: int):
    found = truncated_lengths(first, second, capacity)
    assert found[0] <= first
    assert found[1] <= second
    assert sum(found) == min(first + second, capacity)


@pytest.mark.parametrize(("more", "kept"), [(0, (7, 8)), (1, (8, 7)), (-1, (7, 8))])
def test_of_two_very_long_texts_the_longer_one_keeps_the_odd_token(paths, more: int, kept: tuple[int, int]):
    count = SEGMENT_CHARACTERS
    pairs = PairTokens(Tokenizer(paths["bert"]), 18, token_types=True)
    batch = join(pairs, "a " * (count + more), "b " * count)
    assert [batch.ids.tolist().count(WORDS[word]) for word in "ab"] == list(kept)


def test_of_a_long_document_only_the_beginning_is_tokenized(paths):
    pairs = PairTokens(Tokenizer(paths["bert"]), 18, token_types=True)
    query = finish(pairs.query("a"))
    document = finish(pairs.document("b " * 40 * SEGMENT_CHARACTERS, query))
    assert document.count < 2 * SEGMENT_CHARACTERS
    assert pairs.tokens(query, document) > pairs.max_tokens


def test_special_tokens_must_leave_room_for_both_texts(paths):
    PairTokens(Tokenizer(paths["bert"]), 5, token_types=True)
    with pytest.raises(BundleError, match="a pair has 4 tokens, and special tokens take 3 of them: set MAX_TOKENS"):
        PairTokens(Tokenizer(paths["bert"]), 4, token_types=True)


def test_single_texts_are_tokenized_as_before(paths):
    tokenizer = Tokenizer(paths["roberta"])
    tokenizer.pair_frame()
    assert tokenizer.encode("a b") == [1, WORDS["a"], WORDS["b"], 2]
    assert tokenizer.plain("a b") == [WORDS["a"], WORDS["b"]]
