"""The texts on which a bundle is compared with the original."""

from __future__ import annotations

import unicodedata

from build.fidelity.requests import HELDOUT_FILE, heldout_texts

TEXTS = 240


def test_there_are_240_different_texts_and_none_is_empty():
    texts = heldout_texts()
    assert len(texts) == len(set(texts)) == TEXTS
    assert all(text.strip() for text in texts)


def test_lines_are_cut_at_line_feeds_alone():
    """So that a text may hold any other character that Python takes for the end of a line."""
    assert heldout_texts() == HELDOUT_FILE.read_bytes().decode().removesuffix("\n").split("\n")


def test_the_texts_are_of_many_lengths():
    words = sorted(len(text.split()) for text in heldout_texts())
    assert words[0] <= 3
    assert words[-1] >= 80


def test_the_texts_are_in_many_scripts():
    letters = {letter for text in heldout_texts() for letter in text if letter.isalpha()}
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert scripts >= {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "CJK", "HIRAGANA", "HANGUL", "DEVANAGARI"}
