"""A model's files: their hash, pointers in their place, and the bytes of the weights, from the headers alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build.errors import ModelNotFound, UnsupportedModel
from build.model.files import content_hash, refuse_pointers, weights_in_fp32
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel


def safetensors(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """A file of that header alone: the numbers are not read."""
    header = {name: {"dtype": kind, "shape": shape, "data_offsets": [0, 0]} for name, (kind, shape) in tensors.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_count_as_fp32_however_they_are_stored(dtype: str):
    import transformers

    model = tiny_models.make(TinyModel(f"counted-{dtype}", "bert", "bert", "BertModel", dtype=dtype))
    network = transformers.AutoModel.from_pretrained(model)
    assert weights_in_fp32(model) == 4 * sum(weight.numel() for weight in network.parameters())


def test_shards_are_summed():
    whole = tiny_models.make(TinyModel("whole", "bert", "bert", "BertModel"))
    shards = tiny_models.make(TinyModel("sharded", "bert", "bert", "BertModel", shard_size="30KB"))
    assert len(list(shards.glob("*.safetensors"))) > 1
    assert weights_in_fp32(shards) == weights_in_fp32(whole)


def test_shards_beside_a_whole_file_do_not_count_twice(tmp_path: Path):
    for name in ("model.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        safetensors(tmp_path / name, {"a": ("F16", [3, 5]), "b": ("BF16", [7]), "scalar": ("F32", [])})
    assert weights_in_fp32(tmp_path) == 4 * (15 + 7 + 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        b"\x02" + bytes(7) + b"[]",
        b"\x09" + bytes(7) + b'{"a": {}}',
        b"\x08" + bytes(7) + b'{"a": 1}',
    ],
)
def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UnsupportedModel, match="model.safetensors is not a complete safetensors file"):
        weights_in_fp32(tmp_path)


@pytest.mark.parametrize("content", [b"", b"version", b"version https://git-lfs.github.com/", b"\x80" * 200])
def test_what_is_no_pointer_is_not_refused(tmp_path: Path, content: bytes):
    (tmp_path / "model.safetensors").write_bytes(content)
    refuse_pointers(tmp_path, ["model.safetensors"])


def test_the_first_pointer_is_named(tmp_path: Path):
    (tmp_path / "1_Dense").mkdir()
    names = ["config.json", "1_Dense/model.safetensors"]
    (tmp_path / names[0]).write_text("{}")
    (tmp_path / names[1]).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{64 * 'a'}\nsize 99\n")
    message = r"^1_Dense/model.safetensors is a Git LFS pointer: run git lfs pull in the model's directory$"
    with pytest.raises(ModelNotFound, match=message):
        refuse_pointers(tmp_path, names)


def test_other_files_do_not_change_the_hash(tmp_path: Path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    before = content_hash(tmp_path, ["a", "b"])
    (tmp_path / "c").write_text("c")
    assert content_hash(tmp_path, ["b", "a"]) == before != content_hash(tmp_path, ["a", "b", "c"])
