"""A user's file of queries with documents: blocks of lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from build.compare.scores.queries import OwnQueries, Query, read_queries
from build.errors import NoTexts
from build.ranking.heldout import HELDOUT_FILE, heldout_queries


def test_a_block_is_a_query_and_its_documents(tmp_path: Path):
    file = tmp_path / "queries.txt"
    file.write_bytes("\ufeff\n\none\r\na\r\n  b \nc\u2028d\na\n \t\n\ntwo\nb\na".encode())
    expected = (Query("one", ("a", "  b ", "c\u2028d")), Query("two", ("b", "a")))
    assert read_queries(file) == OwnQueries(expected, repeated=1)


def test_the_held_out_queries_are_such_a_file():
    own = read_queries(HELDOUT_FILE)
    expected = [Query(each.query, each.documents) for each in heldout_queries()]
    assert list(own.queries) == expected[: len(own.queries)]
    assert (len(own.queries), own.repeated) == (len(expected) // 2, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have at least one query, with a document on each line below it"),
        (b"\n \n\n", "must have at least one query, with a document on each line below it"),
        (
            b"one\na\nb\n\ntwo\n",
            "the query 'two' must have at least 2 different documents on the lines below it, not 0",
        ),
        (b"one\na\n\n", "the query 'one' must have at least 2 different documents on the lines below it, not 1"),
        (b"one\na\na\n", "the query 'one' must have at least 2 different documents on the lines below it, not 1"),
        (b"caf\xe9\na\nb", "is not UTF-8 (byte 3)"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "queries.txt"
    file.write_bytes(content)
    with pytest.raises(NoTexts, match=re.escape(message)):
        read_queries(file)


def test_unreadable_files_are_named(tmp_path: Path):
    with pytest.raises(NoTexts, match="nothing cannot be read: No such file"):
        read_queries(tmp_path / "nothing")
