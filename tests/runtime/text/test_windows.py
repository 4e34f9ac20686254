"""Windows: how a text that is too long is split, against a brute-force implementation of the definition."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from runtime.errors import InvalidRequest
from runtime.text.long_text import LongText
from runtime.text.tokenizer import Tokenizer
from runtime.text.windows import Window, Windows
from tests.support.models.tokenizer_kinds import KINDS, byte_bpe_with_suffix, wild_texts, wordpiece, write

SMALL_SEGMENT = 40
CLOSERS = r"[\"'”’»›)\]}」』】〉》）］｝]"
PROMPTS = ["", "the: ", "in ", "query:", "tea", "漢字：", "a b c "]


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> tuple[Tokenizer, FastTokenizer]:
    """Ours with small segments, and the library's own."""
    fast = KINDS[request.param]()
    return Tokenizer(write(fast, tmp_path_factory.mktemp("tokenizer")), SMALL_SEGMENT), fast


def what_ends(text: str, start: int, left: int, right: int) -> str:
    """The rule, in a window from ``start``, for a token that ends at ``left`` and one that begins at ``right``."""
    if right < left or not text[start:left].strip():
        return "nothing"
    if text[left - 1] == " " and not re.search(r"\s", text[left : right + 1]):
        return "nothing"
    words = text[start:left].rstrip()
    space = re.sub(r"\S", "", text[start + len(words) : right + 1])
    if "\n" in space or (space and re.search(rf"[.!?…؟۔।]{CLOSERS}*\Z", words)):
        return "sentence"
    if re.search(rf"[。！？｡]{CLOSERS}*\Z", words) and not re.match(rf"{CLOSERS}|[。！？｡]", text[right:]):
        return "sentence"
    return "word" if space else "nothing"


def reference(fast: FastTokenizer, prompt: str, text: str, limit: int) -> list[Window]:
    """Tokenizes the whole text at once, then examines every boundary within reach for each end."""
    probe = fast.encode("a", add_special_tokens=False).ids
    around = fast.encode("a").ids
    at = next(n for n in range(len(around)) if around[n : n + len(probe)] == probe)
    prefix, suffix = around[:at], around[at + len(probe) :]
    bare = FastTokenizer.from_str(fast.to_str())
    bare.post_processor = None
    encoding = bare.encode(prompt + text)
    ids, spans = encoding.ids, encoding.offsets
    prompt_length = 0
    while prompt and prompt_length < len(spans) and spans[prompt_length][1] <= len(prompt):
        prompt_length += 1
    if len(prefix) + len(ids) + len(suffix) <= limit:
        return [Window(fast.encode(prompt + text).ids, len(ids))]
    prompt_length = min(prompt_length, limit - len(prefix) - len(suffix) - 1)
    capacity = limit - len(prefix) - len(suffix) - prompt_length
    windows, first = [], prompt_length
    while first < len(ids):
        last = len(ids)
        if last - first > capacity:
            reach = range(first + 1, first + capacity + 1)
            ends = {n: what_ends(prompt + text, spans[first][0], spans[n - 1][1], spans[n][0]) for n in reach}
            words = [n for n in reach if ends[n] == "word"]
            sentences = [n for n in reach if ends[n] == "sentence"]
            last = max(sentences or words or reach)
        windows.append(Window([*prefix, *ids[:prompt_length], *ids[first:last], *suffix], last - first))
        first = last
    return windows


def made(windows: Windows, prompt: str, text: str) -> list[Window]:
    """All windows, without the pauses between them."""
    return [window for window in windows.of(prompt, text) if window is not None]


def chunks(tokenizer: Tokenizer, prompt: str, text: str, limit: int) -> list[Window]:
    return made(Windows(tokenizer, limit, LongText.CHUNK), prompt, text)


def texts_of(tokenizer: Tokenizer, text: str, limit: int, prompt: str = "") -> list[str]:
    """The characters of each window, without the prompt's."""
    whole = prompt + text
    spans = [span for segment in tokenizer.segments(whole) for span in segment.spans]
    windows = chunks(tokenizer, prompt, text, limit)
    first, result = len(spans) - sum(window.tokens for window in windows), []
    for window in windows:
        own = spans[first : first + window.tokens]
        result.append(whole[own[0][0] : own[-1][1]])
        first += window.tokens
    return result


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PROMPTS), wild_texts, st.integers(1, 40))
@example("", "", 1)
@example("", "the tea. the tea", 7)
@example("", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 5)
@example("the: ", "漢字。」か" * 20, 6)
@example("", " \n" * 100, 7)
def test_windows_are_those_of_the_definition(pair, prompt: str, text: str, capacity: int):
    ours, fast = pair
    limit = capacity + 2 * len(prompt) + 3
    windows = chunks(ours, prompt, text, limit)
    assert windows == reference(fast, prompt, text, limit)
    assert max(len(window.ids) for window in windows) <= limit


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PROMPTS), wild_texts, st.integers(1, 12))
def test_every_token_of_the_text_is_in_one_window_in_order(pair, prompt: str, text: str, capacity: int):
    ours, fast = pair
    windows = chunks(ours, prompt, text, capacity + 2 * len(prompt) + 3)
    own = [window.ids[len(window.ids) - len(ours.suffix) - window.tokens :][: window.tokens] for window in windows]
    whole = fast.encode(prompt + text, add_special_tokens=False).ids
    count = sum(len(ids) for ids in own)
    assert len(windows) > 1 or count == len(whole)
    assert [n for ids in own for n in ids] == whole[len(whole) - count :]
    leading = [*ours.prefix, *whole[: len(whole) - count]]
    assert all(window.ids[: len(window.ids) - len(ours.suffix) - window.tokens] == leading for window in windows)
    assert all(window.ids[len(window.ids) - len(ours.suffix) :] == list(ours.suffix) for window in windows)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PROMPTS), wild_texts)
def test_a_text_that_just_fits_is_one_window_with_the_originals_ids(pair, prompt: str, text: str):
    ours, fast = pair
    expected = fast.encode(prompt + text).ids
    for mode in LongText:
        windows = made(Windows(ours, max(1, len(expected)), mode), prompt, text)
        assert [window.ids for window in windows] == [expected]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PROMPTS), wild_texts)
def test_one_token_more_is_one_window_more(pair, prompt: str, text: str):
    ours, fast = pair
    limit = len(fast.encode(prompt + text).ids) - 1
    if limit > len(fast.encode(prompt).ids) + 1:
        assert len(chunks(ours, prompt, text, limit)) >= 2
        with pytest.raises(InvalidRequest):
            made(Windows(ours, limit, LongText.ERROR), prompt, text)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PROMPTS), wild_texts, st.integers(1, 40))
def test_truncating_gives_what_the_library_truncates_to(pair, prompt: str, text: str, capacity: int):
    ours, fast = pair
    limit = capacity + 2 * len(prompt) + 3
    truncating = FastTokenizer.from_str(fast.to_str())
    truncating.enable_truncation(limit)
    windows = made(Windows(ours, limit, LongText.TRUNCATE), prompt, text)
    assert [window.ids for window in windows] == [truncating.encode(prompt + text).ids]


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("the tea. the tea the tea the tea", 12, ["the tea.", "the tea the tea the", "tea"]),
        ("the tea the\nthe tea the tea the tea", 13, ["the tea the", "the tea the tea the", "tea"]),
        ('the "tea." the tea the tea the tea', 13, ['the "tea."', "the tea the tea the", "tea"]),
        ("the tea.the tea. the tea the", 16, ["the tea.the tea.", "the tea the"]),
        ("tea, tea, tea, tea, tea, tea", 13, ["tea, tea,", "tea, tea,", "tea, tea"]),
        ("e.g. the tea? the tea! the tea… x tea", 9, ["e.g.", "the tea?", "the tea!", "the tea…", "x tea"]),
        ("漢字。漢字」漢。」字漢字", 8, ["漢字。", "漢字」漢。」", "字漢字"]),
        ("abcdefghijkl tea", 8, ["abcdef", "ghijkl", "tea"]),
        ("a. abcdefghijkl", 8, ["a.", "abcdef", "ghijkl"]),
    ],
)
def test_a_window_ends_at_a_sentence_or_a_word_or_anywhere(tmp_path, text: str, limit: int, expected: list[str]):
    """In WordPiece whose tokens are letters and "the"; two of the limit are special tokens."""
    ours = Tokenizer(write(wordpiece(), tmp_path))
    assert texts_of(ours, text, limit) == expected


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("the tea.\n\nthe tea the tea", 10, ["the tea.\n\n", "the tea the", " tea"]),
        ("the tea the \n the tea the tea", 10, ["the tea the \n", " the tea the", " tea"]),
        ("tea        tea", 6, ["tea    ", "    te", "a"]),
    ],
)
def test_white_space_goes_to_the_window_before_it_where_tokens_are_white_space(tmp_path, text, limit, expected):
    ours = Tokenizer(write(byte_bpe_with_suffix(), tmp_path))
    assert texts_of(ours, text, limit) == expected


def test_the_prompt_is_in_every_window_and_does_not_count_in_the_weight(tmp_path):
    ours = Tokenizer(write(wordpiece(), tmp_path))
    windows = chunks(ours, "the: ", "tea. tea. tea.", 12)
    the, tea = ours.encode("the:")[1:-1], ours.encode("tea.")[1:-1]
    assert windows == [Window([2, *the, *tea, *tea, 3], 8), Window([2, *the, *tea, 3], 4)]


def test_a_letter_that_joins_the_prompt_is_the_texts(tmp_path):
    """In "thex" a token ends where the prompt "the" does; in "the", none ends where "th" does."""
    ours = Tokenizer(write(wordpiece(), tmp_path))
    assert [window.tokens for window in chunks(ours, "the", "xx xxx", 6)] == [2, 3]
    assert [window.tokens for window in chunks(ours, "th", "e xxx", 5)] == [1, 3]


@pytest.mark.parametrize("mode", LongText)
def test_an_empty_text_has_one_window(pair, mode: LongText):
    ours, fast = pair
    assert made(Windows(ours, 32, mode), "", "") == [Window(fast.encode("").ids, 0)]
    assert [window.ids for window in made(Windows(ours, 32, mode), "in:", "")] == [fast.encode("in:").ids]


def test_the_capacity_is_what_special_tokens_and_prompt_leave(tmp_path):
    windows = Windows(Tokenizer(write(wordpiece(), tmp_path)), 8, LongText.CHUNK)
    assert [windows.token_capacity(prompt) for prompt in ("", "the: ", "tea tea")] == [6, 4, 0]


def test_a_refusal_states_the_texts_tokens_and_the_limit(tmp_path):
    windows = Windows(Tokenizer(write(wordpiece(), tmp_path)), 8, LongText.ERROR)
    with pytest.raises(InvalidRequest) as caught:
        next(windows.of("in: ", "tea tea"))
    assert str(caught.value) == (
        "text must have at most 8 tokens, including its prompt and special tokens, but has 11 (LONG_TEXT is error)"
    )


class Counted(Tokenizer):
    """Counts the segments that were asked for."""

    count = 0

    def segments(self, text):
        for segment in super().segments(text):
            self.count += 1
            yield segment


MEGABYTE = "the tea is hot. " * 65_536


@pytest.mark.parametrize("mode", [LongText.CHUNK, LongText.TRUNCATE])
def test_the_first_window_of_a_megabyte_is_there_after_one_segment(tmp_path: Path, mode: LongText):
    ours = Counted(write(wordpiece(), tmp_path))
    window = next(Windows(ours, 512, mode).of("", MEGABYTE))
    assert window is not None
    assert len(window.ids) in (511, 512)
    assert ours.count == 1


def test_a_megabyte_is_refused_without_tokenizing_it(tmp_path: Path):
    ours = Counted(write(wordpiece(), tmp_path))
    with pytest.raises(InvalidRequest, match=r"^text must have at most 512 tokens, .* but has more than \d+ \(LONG"):
        next(Windows(ours, 512, LongText.ERROR).of("", MEGABYTE))
    assert ours.count == 2


def test_segments_are_read_as_windows_need_them(tmp_path: Path):
    ours = Counted(write(wordpiece(), tmp_path))
    seen = [ours.count for _ in Windows(ours, 512, LongText.CHUNK).of("", MEGABYTE)]
    assert seen[0] == 1
    assert max(after - before for before, after in pairwise(seen)) == 1
    assert seen[-1] > 60


PATHOLOGICAL = {
    "one word": "x" * 1_000_000,
    "DNA": "GATTACA" * 142_857,
    "hex": "3fa9b07c" * 125_000,
    "brackets": "([{}])" * 166_666,
    "sharp s": "ẞ" * 1_000_000,
    "control characters": "\x01" * 1_000_000,
    "spaces": " " * 1_000_000,
    "accents": "e\u0301" * 500_000,
    "ideographs": "漢字" * 500_000,
    "emoji": "😀" * 1_000_000,
}


@pytest.mark.parametrize("mode", LongText)
@pytest.mark.parametrize("text", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_of_whatever_a_megabyte_consists_each_step_tokenizes_a_segment(tmp_path: Path, mode: LongText, text: str):
    ours = Counted(write(wordpiece(), tmp_path))
    counts = [0]
    with suppress(InvalidRequest):
        for _ in islice(Windows(ours, 512, mode).of("", text), 40):
            counts.append(ours.count)
    assert ours.count > 0
    assert max((after - before for before, after in pairwise(counts)), default=0) <= 1
    # What a refusal says takes one more.
    assert ours.count - counts[-1] <= (2 if mode is LongText.ERROR else 0)


def test_a_megabyte_that_is_one_token_pauses_between_its_segments(tmp_path: Path):
    ours = Counted(write(wordpiece(), tmp_path))
    *pauses, window = Windows(ours, 512, LongText.CHUNK).of("", "x" * 1_000_000)
    assert pauses == [None] * ours.count
    assert len(pauses) >= 8
    assert window is not None
    assert window.following == 0


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PROMPTS), wild_texts, st.integers(1, 40))
def test_each_window_states_whether_others_follow(pair, prompt: str, text: str, capacity: int):
    ours, _ = pair
    windows = chunks(ours, prompt, text, capacity + 2 * len(prompt) + 3)
    assert [window.following > 0 for window in windows] == [True] * (len(windows) - 1) + [False]


def test_how_many_windows_follow_is_estimated_from_those_that_were_made(tmp_path: Path):
    ours = Tokenizer(write(wordpiece(), tmp_path))
    windows = chunks(ours, "the: ", "the tea is hot. " * 400, 66)
    left = range(len(windows) - 1, -1, -1)
    assert len(windows) > 60
    assert all(abs(window.following - count) <= 2 for window, count in zip(windows, left, strict=True))


@pytest.mark.parametrize(
    ("characters", "mode", "windows"),
    [
        (0, LongText.CHUNK, 1),
        (39, LongText.CHUNK, 1),
        (40, LongText.CHUNK, 2),
        (400, LongText.CHUNK, 11),
        (39, LongText.TRUNCATE, 1),
        (4000, LongText.TRUNCATE, 2),
        (4000, LongText.ERROR, 2),
    ],
)
def test_windows_are_estimated_from_the_characters(tmp_path: Path, characters: int, mode: LongText, windows: int):
    """Four characters a token, of which a window has ten beside the two special ones; the prompt counts as well."""
    ours = Tokenizer(write(wordpiece(), tmp_path))
    assert Windows(ours, 12, mode).estimate("q", "x" * characters) == windows
