"""Damaged manifests: whatever was done to one, it is read, or refused with a ``BundleError``, at no cost in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manifest import MANIFEST_FILE, BundleError, Golden, Manifest, check_files, from_json, read_manifest
from tests.project.test_manifest import MODEL, lay_out

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 2**63])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["..", "a/b", "\0", "\ud800", "model.onnx"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)

PEAK_BYTES = 4 << 20
"""Reading a manifest of a few kilobytes takes far less."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("bundle"), MODEL)


@pytest.fixture(scope="module")
def sound(bundle: Path) -> str:
    return (bundle / MANIFEST_FILE).read_text()


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value of the manifest is, for all of them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths(inner, (*path, key))


def read(bundle: Path, text: bytes) -> Manifest | None:
    """The manifest and its files, checked; None where that was refused."""
    (bundle / MANIFEST_FILE).write_bytes(text)
    tracemalloc.start()
    try:
        manifest = read_manifest(bundle)
        check_files(bundle, manifest, hashes=True)
        return manifest
    except BundleError:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK_BYTES


@given(data=st.data())
def test_a_value_of_another_kind_is_read_or_refused(bundle: Path, sound: str, data: st.DataObject):
    value = json.loads(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(paths(value))
        if not places:
            break
        *folders, key = data.draw(st.sampled_from(places))
        parent = value
        for folder in folders:
            parent = parent[folder]
        if data.draw(st.booleans()):
            parent[key] = data.draw(json_values)
        else:
            del parent[key]
    read(bundle, json.dumps(value).encode())


@given(damages=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), min_size=1, max_size=4))
def test_damaged_bytes_are_read_or_refused(bundle: Path, sound: str, damages: list[tuple[float, int, bytes]]):
    text = sound.encode()
    for where, length, replacement in damages:
        start = int(where * len(text))
        text = text[:start] + replacement + text[start + length :]
    read(bundle, text)


@given(text=st.binary(max_size=200))
@example(text=b"[" * 100_000)
@example(text=b'{"schema": ' * 100_000)
@example(text=b'{"schema": ' + b"[" * 900 + b"]" * 900 + b"}")
@example(text=b'{"schema": ' + b"9" * 5000 + b"}")
@example(text=b'{"schema": NaN}')
def test_any_bytes_are_refused(bundle: Path, text: bytes):
    assert read(bundle, text) is None


def test_the_sound_one_is_read(bundle: Path, sound: str):
    assert read(bundle, sound.encode()) is not None


def golden(body: str, min_cosine: str) -> str:
    """The JSON of a golden request with these values."""
    tolerance = f'{{"min_cosine": {min_cosine}, "max_error": null}}'
    return f'{{"requests": [{{"route": "/", "body": {body}, "answer": {{}}, "tolerance": {tolerance}}}]}}'


def test_a_golden_request_is_read():
    assert from_json(Golden, golden("{}", "1"), "golden.json").requests[0].tolerance.min_cosine == 1.0


def test_golden_requests_that_are_nested_too_deeply_are_refused():
    body = '{"a": ' * 100_000 + "1" + "}" * 100_000
    with pytest.raises(BundleError, match=r"golden\.json is not JSON: "):
        from_json(Golden, golden(body, "1"), "golden.json")


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400])
def test_a_whole_number_that_is_too_large_for_a_float_is_refused(number: str):
    with pytest.raises(BundleError, match="min_cosine is too large a number"):
        from_json(Golden, golden("{}", number), "golden.json")
