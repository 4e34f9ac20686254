from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.images.base64_text import Base64, decode_base64
from runtime.images.refusals import NotBase64
from runtime.images.white_space import SPACE

RFC_4648 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
ALPHABET = f"{string.ascii_letters}{string.digits}+/"


@given(st.binary(max_size=300))
def test_what_was_encoded_comes_back(data: bytes):
    assert decode_base64(base64.b64encode(data).decode()) == data


def test_megabytes_come_back():
    data = np.random.default_rng(1).bytes(3 << 20)
    assert decode_base64(base64.b64encode(data).decode()) == data


def test_every_pair_of_characters_is_decoded():
    text = "".join(a + b + b + a for a in ALPHABET for b in ALPHABET)
    assert decode_base64(text) == base64.b64decode(text, validate=True)


@given(st.text(st.sampled_from("aG8/+= \n*"), max_size=12), st.sampled_from([1, 4, 5, 1000]))
@example("aGVs====", 1000)
@example("aGVs=", 4)
def test_what_is_base64_is_what_the_standard_says(text: str, block: int):
    characters = "".join(text.split())
    found = outcome(text, block)
    if RFC_4648.fullmatch(characters):
        assert found == base64.b64decode(characters)
    else:
        assert isinstance(found, NotBase64)


@pytest.mark.parametrize("place", range(8))
def test_no_other_byte_is_base64(place: int):
    padding = {ord("=")} if place == 7 else set()
    for byte in set(range(128)) - set(map(ord, ALPHABET)) - set(SPACE) - padding:
        text = "aGVsbG8g"[:place] + chr(byte) + "aGVsbG8g"[place + 1 :]
        assert isinstance(outcome(text, 1000), NotBase64)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 90), st.sampled_from(["\n", "\r\n", " ", "\t", " \n\t"]))
def test_white_space_does_not_count(data: bytes, width: int, space: str):
    text = base64.b64encode(data).decode()
    lines = space.join(text[at : at + width] for at in range(0, len(text), width))
    assert decode_base64(f"{space}{lines}{space}") == data


@pytest.mark.parametrize(
    "prefix", ["data:image/png;base64,", "DATA:IMAGE/PNG;BASE64,", "data:;base64,", " data:a/b;charset=x;base64,\n"]
)
def test_a_data_url_is_its_payload(prefix: str):
    assert decode_base64(prefix + "aGVsbG8=") == b"hello"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("aGVsbG8", "incorrect padding"),
        ("=", "leading padding not allowed"),
        ("aGVs====", "excess padding"),
        ("aGVsbG8=aGVsbG8=", "excess data after padding"),
        ("aGV*bG8=", "only base64 data is allowed"),
        ("aGV-bG8_", "only base64 data is allowed"),
        ("aGV\0bG8=", "only base64 data is allowed"),
        ("aGVsbG8\N{GRINNING FACE}", "a character is not ASCII"),
        ("\ud800", "a character is not ASCII"),
        ("data:image/svg+xml,<svg/>", "a data URL must begin with data:, its type, and ;base64,"),
        ("data:image/png;base64", "a data URL must begin with data:, its type, and ;base64,"),
        ("data:" + "x" * 1000 + ";base64,aGVsbG8=", "a data URL must begin with data:, its type, and ;base64,"),
        ("http://localhost/cat.png", "only base64 data is allowed"),
    ],
)
def test_what_is_not_base64_is_refused_with_the_reason(text: str, detail: str):
    with pytest.raises(NotBase64) as refusal:
        decode_base64(text)
    assert refusal.value == NotBase64(detail)
    assert str(refusal.value) == f"is not base64: {detail}"


@given(st.binary(max_size=300), st.integers(1, 400), st.integers(1, 90), st.sampled_from(["", "\n", " \t"]))
def test_blocks_do_not_show(data: bytes, block: int, width: int, space: str):
    text = base64.b64encode(data).decode()
    lines = space.join(text[at : at + width] for at in range(0, len(text), width))
    assert decode_base64(lines, block=block) == data
    assert decode_base64(f"data:;base64,{lines}", block=block) == data


@given(st.integers(1, 40))
@pytest.mark.parametrize(
    "text", ["aGVsbG8", "aGVsbG8=aGVsbG8=", "aGVs bG8= a", "aGVsbG8g*", "aGVsbG8ga", "aGVs*bG8", "aGVsbG8\ud800"]
)
def test_whatever_the_blocks_what_is_not_base64_is_refused(text: str, block: int):
    with pytest.raises(NotBase64):
        decode_base64(text, block=block)


class Written:
    """ASCII as JSON writes it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.literal = memoryview(json.dumps(text).encode()[1:-1].replace(b"/", b"\\/"))

    def __str__(self) -> str:
        return self.text


class InPieces:
    """A text that is read as bytes or as literals, and as strings where it is not ASCII."""

    def __init__(self, text: str, as_literals: bool = False) -> None:
        self.text, self.as_literals = text, as_literals

    def __len__(self) -> int:
        return len(self.text)

    def blocks(self, size: int) -> Iterator[str | memoryview | Written]:
        for at in range(0, len(self.text), size):
            part = self.text[at : at + size]
            if not part.isascii():
                yield part
            else:
                yield Written(part) if self.as_literals and part.isprintable() else memoryview(part.encode())


def outcome(text: Base64, block: int) -> bytes | memoryview | NotBase64:
    try:
        return decode_base64(text, block=block)
    except NotBase64 as refusal:
        return refusal


@given(
    st.text(st.sampled_from('aGV sbG8=\n\t/\\"*é\xa0\u3000\x1c'))
    | st.binary().map(lambda data: base64.b64encode(data).decode())
)
@pytest.mark.parametrize("prefix", ["", "data:;base64,", " \n data:image/png;base64,", "data:,", "dat", "d", "da \n"])
@pytest.mark.parametrize("block", [1, 4, 7, 1000])
def test_a_text_in_pieces_is_read_as_in_one(prefix: str, block: int, text: str):
    whole = prefix + text
    expected = outcome(whole, block)
    assert outcome(InPieces(whole), block) == expected
    assert outcome(InPieces(whole, as_literals=True), block) == expected
    assert isinstance(expected, NotBase64) == isinstance(outcome(whole, 1000), NotBase64)


def test_white_space_is_that_of_ascii():
    for place in range(len("aGVsbG8=") + 1):
        assert decode_base64("aGVsbG8="[:place] + " \t\n\r\v\f" + "aGVsbG8="[place:]) == b"hello"


@pytest.mark.parametrize("prefix", ["", "data:;base64,"])
@pytest.mark.parametrize("separator", ["\x1c", "\x1d", "\x1e", "\x1f"])
def test_separators_are_no_white_space(prefix: str, separator: str):
    for text in (f"{separator}{prefix}aGVsbG8=", f"{prefix}{separator}aGVsbG8=", f"{prefix}aGV{separator}sbG8="):
        assert outcome(text, 1000) == NotBase64("only base64 data is allowed")


@given(st.characters(min_codepoint=128))
@example("\U00020020")
@example("\ud800")
@example("\xa0")
@example("\u3000")
def test_any_character_that_is_not_ascii_is_refused(character: str):
    for text in (f"{character}aGVsbG8=", f"aGVs{character}bG8=", f"aGVsbG8={character}"):
        assert outcome(text, 1000) == NotBase64("a character is not ASCII")


class Refused(Exception):
    pass


@given(st.integers(0, 200), st.integers(1, 40), st.sampled_from(["", " ", "\n" * 50]))
def test_the_beginning_is_checked_once_and_as_soon_as_it_is_there(enough: int, block: int, space: str):
    data = bytes(range(100))
    seen: list[bytes] = []
    text = space.join(base64.b64encode(data).decode())
    assert decode_base64(text, seen.append, enough, block) == data
    assert len(seen) == 1
    assert data.startswith(seen[0])
    assert min(enough, len(data)) <= len(seen[0]) <= enough + block + 3


def test_nothing_behind_a_beginning_that_is_refused_is_decoded():
    def refuse(beginning: bytes) -> None:
        raise Refused

    with pytest.raises(Refused):
        decode_base64("aGVsbG8g" * 100 + "*", refuse, 10, 40)
