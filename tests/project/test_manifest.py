"""The bundle's definition: strict reading, and a name for every way in which a bundle can be wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from manifest import (
    HEAD_FILE,
    SCHEMA,
    SECTIONS,
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
    write_manifest,
)
from sections.text import Resolved
from tests.support.bundles.text_models import NORMALIZE, a_text_model, an_encoder, two_routes

LAYER_NORM = Layer(LayerKind.LAYER_NORM, weight="w", bias="b")
MODEL = a_text_model(layers=(LAYER_NORM, NORMALIZE), prompts={"query": "q: "}, tasks={"query": "query"})
FILES = bundle_files(MODEL)


def a_manifest(files: dict[str, FileEntry], text: TextModel = MODEL) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        version="1.2.3",
        model="org/model",
        source=Source(SourceKind.HUB, "c0ffee"),
        licence=None,
        kind=Kind.TEXT,
        target=Target.AMD64,
        precision=Precision.INT8,
        files=files,
        tools={"onnx": "1"},
        fidelity=None,
        section=text,
    )


def lay_out(directory: Path, text: TextModel) -> Path:
    for name in bundle_files(text):
        (directory / name).write_text(f"content of {name}")
    write_manifest(directory, a_manifest(describe_files(directory, text), text))
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
    plain = {"config.json", "fidelity.json", "golden.json"}
    plain |= {"model.onnx", "model.onnx.data", "tokenizer.json"}
    assert set(bundle_files(a_text_model())) == plain
    assert set(FILES) == plain | {HEAD_FILE}
    routes = two_routes()
    other = dataclasses.replace(routes.graphs["model"], file="query.onnx", weights="query.onnx.data")
    encoders = {**routes.encoders, "query": an_encoder(graph="query", tokenizer="query.tokenizer.json")}
    model = dataclasses.replace(routes, encoders=encoders, graphs={**routes.graphs, "query": other})
    assert set(bundle_files(model)) == plain | {"query.onnx", "query.onnx.data", "query.tokenizer.json"}
    assert read_manifest(lay_out(tmp_path, model)).section_as(TextModel) == model


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
    prompts = [model.resolve(task).prompt for task in (None, Task.QUERY, Task.PASSAGE)]
    assert prompts == ["o: ", "q: ", ""]
    assert model.resolve(Task.QUERY, "other").prompt == "o: "
    assert [model.encoder_name(task) for task in (None, Task.QUERY)] == ["text", "text"]
    routes = two_routes()
    assert [routes.encoder_name(task) for task in (None, Task.QUERY, Task.PASSAGE)] == [None, "query", "document"]
    assert routes.resolve(None) is None
    assert routes.resolve(Task.PASSAGE) == Resolved("document", "", 0)


def test_a_prompt_whose_tokens_pooling_skips_says_how_many():
    encoder = an_encoder(prompt_tokens={"query": 3})
    model = a_text_model(encoders={"text": encoder}, prompts={"query": "q: "}, tasks={"query": "query"})
    assert model.resolve(Task.QUERY) == Resolved("text", "q: ", 3)
    assert model.resolve(None) == Resolved("text", "", 0)


def edit_encoder(**values: object):
    return lambda m: m["text"]["encoders"]["text"].update(values)


def edit_layer(**values: object):
    return lambda m: m["text"]["encoders"]["text"]["layers"][0].update(values)


def edit_graph(**values: object):
    return lambda m: m["text"]["graphs"]["model"].update(values)


WRONG_MANIFESTS = {
    "schema 99, and this version reads schema 5: rebuild with quantize.py": lambda m: m.update(schema=99),
    "kind must be one of clip, rerank, static, text, not 'poem'": lambda m: m.update(kind="poem"),
    "kind must be one of clip, rerank, static, text, not None": lambda m: m.pop("kind"),
    "has no field text": lambda m: m.pop("text"),
    "text must be dict, not list": lambda m: m.update(text=[]),
    "has no field model": lambda m: m.pop("model"),
    "has an unknown field: extra": lambda m: m.update(extra=1),
    "text has an unknown field: pool": lambda m: m["text"].update(pool=1),
    "text: dim must be int, not str": lambda m: m["text"].update(dim="4"),
    "text: dim must be int, not bool": lambda m: m["text"].update(dim=True),
    "text.dim must be at least 1, not 0": lambda m: m["text"].update(dim=0),
    "text.encoders is empty": lambda m: m.update(text={**m["text"], "encoders": {}, "default_encoder": None}),
    "text.encoders.text.max_tokens must be at least 1, not -1": edit_encoder(max_tokens=-1),
    "modes[0] must be one of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, not 'median'": edit_encoder(
        pooling={"modes": ["median"], "include_prompt": True}
    ),
    "pooling.modes is empty": edit_encoder(pooling={"modes": [], "include_prompt": True}),
    "text.encoders.text.graph is gone, which is not defined": edit_encoder(graph="gone"),
    "text.encoders.text.prompt_tokens is gone, which is not defined": edit_encoder(prompt_tokens={"gone": 1}),
    "layers[0]: kind must be one of dense, layer_norm, normalize, truncate, not 'dropout'": edit_layer(kind="dropout"),
    "layers[0].bias is missing": edit_layer(bias=None),
    "layers[0].activation is missing": edit_layer(kind="dense"),
    "layers[0].size is missing": edit_layer(kind="truncate"),
    "text: prompts.query must be str, not int": lambda m: m["text"]["prompts"].update(query=1),
    "text.default_prompt is nothing, which is not defined": lambda m: m["text"].update(default_prompt="nothing"),
    "text.default_encoder is nothing, which is not defined": lambda m: m["text"].update(default_encoder="nothing"),
    "text.tasks.passage is gone, which is not defined": lambda m: m["text"]["tasks"].update(passage="gone"),
    "text.tasks has an unknown task: guess": lambda m: m["text"]["tasks"].update(guess="query"),
    "text.routes.query is gone, which is not defined": lambda m: m["text"]["routes"].update(query="gone"),
    "text.routes has an unknown task: guess": lambda m: m["text"]["routes"].update(guess="text"),
    "files: ../x is missing or does not belong to a bundle": edit_graph(file="../x"),
    "files: ../y is not the name of a file in the bundle": lambda m: (
        edit_graph(weights="../y")(m),
        m["files"].update({"../y": m["files"].pop("model.onnx.data")}),
    ),
    "graphs.model: inputs[0] must be str, not int": edit_graph(inputs=[1]),
    "graphs.model.layout must be packed for a graph with ops, not padded": edit_graph(
        ops={"domain": "own", "version": 1}
    ),
    "text.graphs.model.ops.version must be at least 1, not 0": edit_graph(
        layout="packed", ops={"domain": "own", "version": 0}
    ),
    "files: golden.json is missing or does not belong to a bundle": lambda m: m["files"].pop("golden.json"),
    "../etc is missing or does not belong to a bundle": lambda m: m["files"].update(
        {"../etc": m["files"]["golden.json"]}
    ),
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
    with pytest.raises(BundleError, match="tokenizer.json has 5 bytes instead of the manifest's 25"):
        check_files(bundle, manifest, hashes=False)


def test_changed_content_of_the_same_size_is_found_by_its_hash(bundle: Path):
    manifest = read_manifest(bundle)
    path = bundle / "model.onnx.data"
    path.write_text(path.read_text()[::-1])
    check_files(bundle, manifest, hashes=False)
    with pytest.raises(BundleError, match=r"model.onnx.data does not have the manifest's sha256"):
        check_files(bundle, manifest, hashes=True)


def test_a_file_that_is_not_of_a_bundle_is_named(bundle: Path):
    (bundle / "model.pkl").write_text("")
    with pytest.raises(BundleError, match="does not belong to a bundle: model.pkl"):
        check_files(bundle, read_manifest(bundle), hashes=False)


def test_a_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(BundleError, match=r"has no manifest.json"):
        read_manifest(tmp_path)


def test_a_page_for_people_may_be_listed_and_may_be_gone(bundle: Path):
    (bundle / "fidelity.html").write_text("page")
    manifest = a_manifest(describe_files(bundle, MODEL))
    write_manifest(bundle, manifest)
    assert "fidelity.html" in read_manifest(bundle).files
    check_files(bundle, manifest, hashes=True)
    (bundle / "fidelity.html").write_text("pages")
    with pytest.raises(BundleError, match=r"fidelity.html has 5 bytes instead of the manifest's 4"):
        check_files(bundle, manifest, hashes=False)
    (bundle / "fidelity.html").unlink()
    check_files(bundle, manifest, hashes=True)


def test_the_section_has_the_name_of_its_kind(bundle: Path):
    value = json.loads((bundle / "manifest.json").read_text())
    assert value["kind"] == "text"
    assert value["text"]["dim"] == MODEL.dim
    assert "section" not in value


def test_every_kind_has_a_section():
    assert set(SECTIONS) == set(Kind)


def test_a_section_of_another_kind_is_not_handed_out(bundle: Path):
    with pytest.raises(BundleError, match="a bundle of kind text has no Layer"):
        read_manifest(bundle).section_as(Layer)


@pytest.mark.parametrize(
    ("machine", "target"),
    [
        ("x86_64", Target.AMD64),
        ("AMD64", Target.AMD64),
        ("aarch64", Target.ARM64),
        ("arm64", Target.ARM64),
        ("s390x", None),
    ],
)
def test_a_machine_has_the_target_that_its_system_spells(machine: str, target: Target | None):
    assert Target.of_machine(machine) is target


def test_golden_requests_hold_any_json_and_whole_numbers_where_a_float_belongs():
    golden = from_json(
        Golden,
        '{"requests": [{"route": "/vectors", "body": {"text": "", "config": {"task_type": null}}, '
        '"answer": {"vector": [1, 0.5]}, "tolerance": {"min_cosine": 1, "max_error": null}}]}',
        "golden.json",
    )
    (request,) = golden.requests
    assert request.body == {"text": "", "config": {"task_type": None}}
    assert request.answer == {"vector": [1, 0.5]}
    assert repr(request.tolerance.min_cosine) == "1.0"
