"""The bundle's definition: strict reading, and a name for every way in which a bundle can be wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from manifest import (
    BUNDLE_FILES,
    SCHEMA,
    BundleError,
    FileEntry,
    Golden,
    Graph,
    Kind,
    Layout,
    Manifest,
    Pooling,
    Precision,
    Source,
    SourceKind,
    Target,
    TextModel,
    check_files,
    describe_files,
    from_json,
    read_manifest,
    to_json,
)


def a_manifest(files: dict[str, FileEntry]) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        model="org/model",
        source=Source(SourceKind.HUB, "c0ffee"),
        licence=None,
        kind=Kind.TEXT,
        target=Target.AMD64,
        precision=Precision.INT8,
        files=files,
        tools={"onnx": "1"},
        fidelity=None,
        text=TextModel(
            architecture="bert",
            dim=4,
            max_tokens=8,
            pooling=Pooling.CLS,
            normalize=True,
            prompts={"query": "q: "},
            default_prompt=None,
            tasks={"query": "query"},
            graphs={"tokens": Graph("model.onnx", ("input_ids",), "last_hidden_state", Layout.PADDED)},
        ),
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name in BUNDLE_FILES:
        (tmp_path / name).write_text(f"content of {name}")
    (tmp_path / "manifest.json").write_text(to_json(a_manifest(describe_files(tmp_path))))
    return tmp_path


def change(bundle: Path, edit) -> None:
    value = json.loads((bundle / "manifest.json").read_text())
    edit(value)
    (bundle / "manifest.json").write_text(json.dumps(value))


def test_what_is_written_is_read_back_equal(bundle: Path):
    assert read_manifest(bundle) == a_manifest(describe_files(bundle))


def test_a_sound_bundle_passes(bundle: Path):
    check_files(bundle, read_manifest(bundle), hashes=True)


WRONG_MANIFESTS = {
    "schema 2, and this runtime reads schema 1: rebuild with quantize.py": lambda m: m.update(schema=2),
    "has no field model": lambda m: m.pop("model"),
    "has an unknown field: extra": lambda m: m.update(extra=1),
    "text has an unknown field: pool": lambda m: m["text"].update(pool=1),
    "text: dim is str, and must be int": lambda m: m["text"].update(dim="4"),
    "text: dim is bool, and must be int": lambda m: m["text"].update(dim=True),
    "text.dim is 0, and must be at least 1": lambda m: m["text"].update(dim=0),
    "text.max_tokens is -1, and must be at least 1": lambda m: m["text"].update(max_tokens=-1),
    "text: pooling is 'max', and must be one of mean, cls": lambda m: m["text"].update(pooling="max"),
    "text: pooling is ['mean'], and must be": lambda m: m["text"].update(pooling=["mean"]),
    "text: prompts.query is int, and must be str": lambda m: m["text"]["prompts"].update(query=1),
    "text.default_prompt names no prompt: nothing": lambda m: m["text"].update(default_prompt="nothing"),
    "text.tasks.passage names no prompt: gone": lambda m: m["text"]["tasks"].update(passage="gone"),
    "text.tasks has an unknown task: guess": lambda m: m["text"]["tasks"].update(guess="query"),
    "text.graphs has no 'tokens'": lambda m: m["text"].update(graphs={}),
    "text.graphs.tokens.file names no file of the bundle: ../x": lambda m: m["text"]["graphs"]["tokens"].update(
        file="../x"
    ),
    "graphs.tokens: inputs[0] is int, and must be str": lambda m: m["text"]["graphs"]["tokens"].update(inputs=[1]),
    "files: golden.json is missing or not of a bundle": lambda m: m["files"].pop("golden.json"),
    "files: ../etc is missing or not of a bundle": lambda m: m["files"].update({"../etc": m["files"]["golden.json"]}),
}


@pytest.mark.parametrize("message", WRONG_MANIFESTS)
def test_a_wrong_manifest_is_refused_by_name(bundle: Path, message: str):
    change(bundle, WRONG_MANIFESTS[message])
    with pytest.raises(BundleError) as caught:
        read_manifest(bundle)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"schema"'])
def test_a_manifest_that_is_no_object_is_refused(bundle: Path, text: str):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="manifest"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", BUNDLE_FILES)
def test_a_missing_file_is_named(bundle: Path, name: str):
    manifest = read_manifest(bundle)
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"has no {name}"):
        check_files(bundle, manifest, hashes=False)


def test_a_truncated_file_is_named_without_hashing(bundle: Path):
    manifest = read_manifest(bundle)
    (bundle / "tokenizer.json").write_text("short")
    with pytest.raises(BundleError, match="tokenizer.json has 5 bytes"):
        check_files(bundle, manifest, hashes=False)


def test_changed_content_of_the_same_size_is_found_by_its_hash(bundle: Path):
    manifest = read_manifest(bundle)
    path = bundle / "model.onnx.data"
    path.write_text(path.read_text()[::-1])
    check_files(bundle, manifest, hashes=False)
    with pytest.raises(BundleError, match=r"model.onnx.data is not what the manifest says"):
        check_files(bundle, manifest, hashes=True)


def test_a_file_that_is_not_of_a_bundle_is_named(bundle: Path):
    (bundle / "model.pkl").write_text("")
    with pytest.raises(BundleError, match="not of a bundle: model.pkl"):
        check_files(bundle, read_manifest(bundle), hashes=False)


def test_a_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(BundleError, match=r"has no manifest.json"):
        read_manifest(tmp_path)


def test_a_whole_number_is_read_where_a_float_belongs():
    golden = from_json(
        Golden, '{"texts": [{"text": "", "task": null, "vector": [1, 0.5], "min_cosine": 1}]}', "golden.json"
    )
    assert golden.texts[0].vector == (1.0, 0.5)
    assert dataclasses.asdict(golden)["texts"][0]["min_cosine"] == 1.0
