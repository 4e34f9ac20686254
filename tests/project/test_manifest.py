"""The bundle's definition: strict reading, and a name for every way in which a bundle can be wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from manifest import (
    HEAD_FILE,
    SCHEMA,
    BundleError,
    FileEntry,
    Golden,
    Kind,
    Layer,
    LayerKind,
    Manifest,
    Precision,
    Source,
    SourceKind,
    Target,
    Task,
    TextModel,
    bundle_files,
    check_files,
    describe_files,
    from_json,
    read_manifest,
    to_json,
)
from tests.support.bundles.text_models import NORMALIZE, a_text_model, an_encoder, two_routes

LAYER_NORM = Layer(LayerKind.LAYER_NORM, weight="w", bias="b")
MODEL = a_text_model(layers=(LAYER_NORM, NORMALIZE), prompts={"query": "q: "}, tasks={"query": "query"})
FILES = bundle_files(MODEL)


def a_manifest(files: dict[str, FileEntry], text: TextModel = MODEL) -> Manifest:
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
        text=text,
    )


def lay_out(directory: Path, text: TextModel) -> Path:
    for name in bundle_files(text):
        (directory / name).write_text(f"content of {name}")
    (directory / "manifest.json").write_text(to_json(a_manifest(describe_files(directory, text), text)))
    return directory


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return lay_out(tmp_path, MODEL)


def change(bundle: Path, edit) -> None:
    value = json.loads((bundle / "manifest.json").read_text())
    edit(value)
    (bundle / "manifest.json").write_text(json.dumps(value))


def test_what_is_written_is_read_back_equal(bundle: Path):
    assert read_manifest(bundle) == a_manifest(describe_files(bundle, MODEL))


def test_a_sound_bundle_passes(bundle: Path):
    check_files(bundle, read_manifest(bundle), hashes=True)


def test_files_are_those_that_the_model_refers_to(tmp_path: Path):
    plain = {"config.json", "fidelity.html", "fidelity.json", "golden.json"}
    plain |= {"model.onnx", "model.onnx.data", "tokenizer.json"}
    assert set(bundle_files(a_text_model())) == plain
    assert set(FILES) == plain | {HEAD_FILE}
    routes = two_routes()
    other = dataclasses.replace(routes.graphs["model"], file="query.onnx", weights="query.onnx.data")
    encoders = {**routes.encoders, "query": an_encoder(graph="query", tokenizer="query.tokenizer.json")}
    model = dataclasses.replace(routes, encoders=encoders, graphs={**routes.graphs, "query": other})
    assert set(bundle_files(model)) == plain | {"query.onnx", "query.onnx.data", "query.tokenizer.json"}
    assert read_manifest(lay_out(tmp_path, model)).text == model


@pytest.mark.parametrize(
    ("layers", "normalizes"),
    [
        ((), False),
        ((NORMALIZE,), True),
        ((LAYER_NORM, NORMALIZE), True),
        ((NORMALIZE, LAYER_NORM), False),
        ((NORMALIZE, Layer(LayerKind.TRUNCATE, size=2)), True),
        ((LAYER_NORM, Layer(LayerKind.TRUNCATE, size=2)), False),
    ],
)
def test_a_model_normalizes_whose_last_layer_but_truncation_does(layers: tuple[Layer, ...], normalizes: bool):
    assert an_encoder(layers=layers).normalizes is normalizes


def test_a_tasks_prompt_and_encoder_or_the_default():
    model = a_text_model(prompts={"query": "q: ", "other": "o: "}, tasks={"query": "query"}, default_prompt="other")
    assert [model.prompt(task) for task in (None, Task.QUERY, Task.PASSAGE)] == ["o: ", "q: ", ""]
    assert model.prompt(Task.QUERY, "other") == "o: "
    assert [model.encoder_name(task) for task in (None, Task.QUERY)] == ["text", "text"]
    routes = two_routes()
    assert [routes.encoder_name(task) for task in (None, Task.QUERY, Task.PASSAGE)] == [None, "query", "document"]


def edit_encoder(**values: object):
    return lambda m: m["text"]["encoders"]["text"].update(values)


def edit_layer(**values: object):
    return lambda m: m["text"]["encoders"]["text"]["layers"][0].update(values)


def edit_graph(**values: object):
    return lambda m: m["text"]["graphs"]["model"].update(values)


WRONG_MANIFESTS = {
    "schema 99, and this runtime reads schema 4: rebuild with quantize.py": lambda m: m.update(schema=99),
    "has no field model": lambda m: m.pop("model"),
    "has an unknown field: extra": lambda m: m.update(extra=1),
    "text has an unknown field: pool": lambda m: m["text"].update(pool=1),
    "text: dim is str, and must be int": lambda m: m["text"].update(dim="4"),
    "text: dim is bool, and must be int": lambda m: m["text"].update(dim=True),
    "text.dim is 0, and must be at least 1": lambda m: m["text"].update(dim=0),
    "text.encoders is empty": lambda m: m.update(text={**m["text"], "encoders": {}, "default_encoder": None}),
    "text.encoders.text.max_tokens is -1, and must be at least 1": edit_encoder(max_tokens=-1),
    "pooling: modes[0] is 'median', and must be one of cls, max": edit_encoder(
        pooling={"modes": ["median"], "include_prompt": True}
    ),
    "pooling.modes is empty": edit_encoder(pooling={"modes": [], "include_prompt": True}),
    "text.encoders.text.graph is gone, and there is none of that name": edit_encoder(graph="gone"),
    "text.encoders.text.prompt_tokens is gone, and there is none of that name": edit_encoder(prompt_tokens={"gone": 1}),
    "layers[0]: kind is 'dropout', and must be one of dense": edit_layer(kind="dropout"),
    "layers[0].bias is missing": edit_layer(bias=None),
    "layers[0].activation is missing": edit_layer(kind="dense"),
    "layers[0].size is missing": edit_layer(kind="truncate"),
    "text: prompts.query is int, and must be str": lambda m: m["text"]["prompts"].update(query=1),
    "text.default_prompt is nothing, and there is none": lambda m: m["text"].update(default_prompt="nothing"),
    "text.default_encoder is nothing, and there is none": lambda m: m["text"].update(default_encoder="nothing"),
    "text.tasks.passage is gone, and there is none": lambda m: m["text"]["tasks"].update(passage="gone"),
    "text.tasks has an unknown task: guess": lambda m: m["text"]["tasks"].update(guess="query"),
    "text.routes.query is gone, and there is none": lambda m: m["text"]["routes"].update(query="gone"),
    "text.routes has an unknown task: guess": lambda m: m["text"]["routes"].update(guess="text"),
    "files: ../x is missing or not of a bundle": edit_graph(file="../x"),
    "files: ../y is not the name of a file in the bundle": lambda m: (
        edit_graph(weights="../y")(m),
        m["files"].update({"../y": m["files"].pop("model.onnx.data")}),
    ),
    "graphs.model: inputs[0] is int, and must be str": edit_graph(inputs=[1]),
    "text.graphs.model.layout is padded, and ops go with packed alone": edit_graph(ops={"domain": "own", "version": 1}),
    "text.graphs.model.ops.version is 0, and must be at least 1": edit_graph(
        layout="packed", ops={"domain": "own", "version": 0}
    ),
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


@pytest.mark.parametrize("name", FILES)
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
        Golden,
        '{"texts": [{"text": "", "task": null, "prompt_name": null, "vector": [1, 0.5], "min_cosine": 1}]}',
        "golden.json",
    )
    assert golden.texts[0].vector == (1.0, 0.5)
    assert dataclasses.asdict(golden)["texts"][0]["min_cosine"] == 1.0
