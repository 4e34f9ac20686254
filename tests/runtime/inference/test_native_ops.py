"""What stops a bundle of native ops before a library runs: no library, a damaged one, unknown ops."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifest import BundleError, OpSet
from runtime.host.cpu import host_target
from runtime.inference.native_ops import load_native_ops

NATIVE = [None, OpSet("cpu2vec", 7)]


def test_a_bundle_without_native_ops_needs_no_library(tmp_path: Path):
    assert load_native_ops([None, None], "no such instruction set", tmp_path) is None
    assert load_native_ops([], None, tmp_path) is None


def test_a_missing_library_is_named_with_the_command_that_makes_it(tmp_path: Path):
    expected = f"libcpu2vec-{host_target()}.so is missing; run `make kernels`$"
    with pytest.raises(BundleError, match=expected):
        load_native_ops(NATIVE, None, tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x7fELF" + bytes(100)])
def test_a_damaged_library_is_named(tmp_path: Path, content: bytes):
    (tmp_path / f"libcpu2vec-{host_target()}.so").write_bytes(content)
    with pytest.raises(BundleError, match=r"libcpu2vec-\w+\.so cannot be loaded: .*; run `make kernels`$"):
        load_native_ops(NATIVE, None, tmp_path)


def test_a_library_without_the_ops_is_named(tmp_path: Path):
    import _ctypes

    (tmp_path / f"libcpu2vec-{host_target()}.so").symlink_to(_ctypes.__file__)
    with pytest.raises(BundleError, match=r"cannot be loaded: .*cpu2vec_kernels_isa; run `make kernels`$"):
        load_native_ops(NATIVE, None, tmp_path)


def test_ops_of_another_domain_are_named(tmp_path: Path):
    with pytest.raises(BundleError, match="ops must be of the domain 'cpu2vec', not 'com.example'"):
        load_native_ops([OpSet("com.example", 1)], None, tmp_path)
