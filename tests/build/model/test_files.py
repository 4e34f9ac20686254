"""A model's files: hash, pointers and links in their place, and the bytes of the weights, from the headers alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build.errors import ModelNotFound, UnsupportedModel
from build.model.files import (
    content_hash,
    files_below,
    refuse_outside,
    refuse_pointers,
    refuse_shards_elsewhere,
    weights_in_fp32,
)
from tests.support.json_files import write
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


def contained(directory: Path) -> None:
    refuse_outside(directory, files_below(directory))


class TestLinks:
    """A build reads a model's own files, and no others of the machine."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        write(tmp_path / "model/config.json", {})
        write(tmp_path / "secret/credentials", "key = 1")
        return tmp_path / "model"

    def test_a_file_behind_a_link_out_of_the_model_is_refused(self, model: Path):
        (model / "vocab.txt").symlink_to("../secret/credentials")
        with pytest.raises(UnsupportedModel) as caught:
            contained(model)
        assert str(caught.value) == (
            "vocab.txt is a link that leads out of the model's directory: put a copy of the file in its place"
        )

    def test_a_folder_behind_a_link_out_of_the_model_is_refused(self, model: Path):
        (model / "1_Pooling").symlink_to(model.parent / "secret")
        with pytest.raises(UnsupportedModel, match="^1_Pooling/credentials is a link"):
            contained(model)

    def test_a_link_by_way_of_another_is_refused(self, model: Path):
        (model / "inner").symlink_to("../secret/credentials")
        (model / "vocab.txt").symlink_to("inner")
        with pytest.raises(UnsupportedModel, match="is a link"):
            contained(model)

    def test_a_directory_whose_name_begins_alike_is_outside(self, model: Path):
        write(model.parent / "model-2/vocab.txt", "word")
        (model / "vocab.txt").symlink_to("../model-2/vocab.txt")
        with pytest.raises(UnsupportedModel, match="is a link"):
            contained(model)

    def test_links_inside_the_model_are_read(self, model: Path):
        (model / "1_Pooling").mkdir()
        (model / "1_Pooling/config.json").symlink_to("../config.json")
        contained(model)

    def test_a_link_to_the_whole_model_is_read(self, model: Path):
        link = model.parent / "latest"
        link.symlink_to(model)
        contained(link)

    def test_a_snapshot_of_the_hub_links_to_its_own_blobs(self, model: Path):
        home = model.parent / "models--my-org--model"
        write(home / "blobs/c0ffee", "word")
        snapshot = home / "snapshots/1234"
        snapshot.mkdir(parents=True)
        (snapshot / "vocab.txt").symlink_to("../../blobs/c0ffee")
        contained(snapshot)

    def test_a_snapshot_of_the_hub_reads_no_blobs_of_another_repository(self, model: Path):
        write(model.parent / "models--other/blobs/c0ffee", "word")
        snapshot = model.parent / "models--my-org--model/snapshots/1234"
        snapshot.mkdir(parents=True)
        (snapshot / "vocab.txt").symlink_to("../../../models--other/blobs/c0ffee")
        with pytest.raises(UnsupportedModel, match="is a link"):
            contained(snapshot)


class TestIndexes:
    """An index of shards names files beside it, and no others."""

    INDEX = "model.safetensors.index.json"

    @pytest.mark.parametrize(
        "shard",
        ["../other/model-00001-of-00002.safetensors", "/model.safetensors", "deep/model.safetensors", "config.json", 1],
    )
    def test_a_shard_elsewhere_is_refused(self, tmp_path: Path, shard: object):
        write(tmp_path / self.INDEX, {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": shard}})
        with pytest.raises(UnsupportedModel) as caught:
            refuse_shards_elsewhere(tmp_path, [self.INDEX])
        assert str(caught.value) == f"{self.INDEX} must name shards beside it, and names {shard!r}"

    @pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": None}])
    def test_an_index_without_a_map_is_named(self, tmp_path: Path, content: object):
        write(tmp_path / self.INDEX, content)
        with pytest.raises(ModelNotFound, match=f"^{self.INDEX} must have an object weight_map$"):
            refuse_shards_elsewhere(tmp_path, [self.INDEX])

    @pytest.mark.parametrize("name", [INDEX, "pytorch_model.bin.index.json", "1_Dense/model.safetensors.index.json"])
    def test_shards_beside_the_index_are_read(self, tmp_path: Path, name: str):
        shard = "pytorch_model-00001-of-00001.bin" if "pytorch" in name else "model.safetensors"
        write(tmp_path / name, {"weight_map": {"a": shard}})
        refuse_shards_elsewhere(tmp_path, [name, "config.json"])
