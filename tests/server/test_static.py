"""Static models in every layout, through the build, the real runtime and HTTP, beside the original's own package."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from build.errors import BuildError, InvalidOption
from build.fidelity.requests import VectorRequest
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from build.static.layout import find_layout
from build.static.original import Original, load_original
from manifest import (
    MANIFEST_FILE,
    Kind,
    Manifest,
    Precision,
    StaticModel,
    Target,
    Task,
    describe_files,
    read_manifest,
)
from tests.support.models.static_models import (
    byte_level_bpe,
    older_layout,
    own_layout,
    padded,
    sentence_layout,
    unigram,
    wordpiece,
)
from tests.support.server.scrape import scrape
from tests.support.server.server_process import Server, ready, started

pytestmark = [
    pytest.mark.slow,
    # NOTE: model2vec computes in 16 bits where a table has so many, and says when a number becomes infinite.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:model2vec", "ignore::DeprecationWarning"),
]

Make = Callable[[Path], Path]

MODELS: dict[str, Make] = {
    "own": lambda directory: own_layout(directory, wordpiece()),
    "own-fp16": lambda directory: own_layout(directory, wordpiece(), "float16"),
    "own-int8": lambda directory: own_layout(directory, wordpiece(), "int8"),
    "own-fp64": lambda directory: own_layout(directory, wordpiece(), "float64"),
    "not-normalized": lambda directory: own_layout(directory, wordpiece(), normalize=False),
    "int8-not-normalized": lambda directory: own_layout(directory, wordpiece(), "int8", normalize=False),
    "weights": lambda directory: own_layout(directory, wordpiece(), "float16", weights="float64"),
    "mapping": lambda directory: own_layout(directory, wordpiece(), clusters=7, weights="float32"),
    "mapping-int8": lambda directory: own_layout(directory, wordpiece(), "int8", clusters=7),
    "byte-level-bpe": lambda directory: own_layout(directory, byte_level_bpe()),
    "unigram": lambda directory: own_layout(directory, unigram()),
    "padded": lambda directory: own_layout(directory, padded(wordpiece(), length=8), "float16"),
    "padded-to-a-rounded-length": lambda directory: own_layout(
        directory, padded(wordpiece(), length=500, pad_to_multiple_of=7), weights="float32"
    ),
    "padded-to-multiples": lambda directory: own_layout(directory, padded(wordpiece(), pad_to_multiple_of=7)),
    "padded-unknown": lambda directory: own_layout(directory, padded(wordpiece(), length=8, pad_id=1)),
    "older": lambda directory: older_layout(directory, wordpiece()),
    "older-in-a-folder": lambda directory: older_layout(directory, wordpiece(), "0_StaticEmbedding"),
    "sentence": lambda directory: sentence_layout(directory, wordpiece()),
    "sentence-normalized": lambda directory: sentence_layout(directory, byte_level_bpe(), normalize=True),
    "sentence-dense": lambda directory: sentence_layout(directory, wordpiece(), dense=8, normalize=True),
    "sentence-truncated": lambda directory: sentence_layout(directory, wordpiece(), normalize=True, truncate_dim=5),
    "sentence-fp16": lambda directory: sentence_layout(directory, wordpiece(), "float16", normalize=True),
    "sentence-prompts": lambda directory: sentence_layout(
        directory, wordpiece(), prompts={"query": "river stone: ", "document": ""}
    ),
}

TEXTS = {
    "empty": "",
    "one token": "ferry",
    "only unknown tokens": "zzz qqq",
    "words": "The ferry to the island leaves at seven in the morning.",
    "unknown tokens between": "zzz the qqq ferry zzz",
    "emoji": "😀 the ferry 👩‍👩‍👧",
    "chinese": "丁七万丈三 the 图书馆",
    "NUL": "a\0b the\0ferry",
    "exactly 512 tokens": "a " * 512,
    "513 tokens": "a " * 512 + "river",
    "512 tokens and unknown ones": "zzz a " * 500 + "river",
    "cut in characters first": "x" * 5000 + " the ferry",
    "far beyond the limit": "the ferry to the island " * 4000,
    "spaces": " \n\t ",
}


def build(directory: Path, output: Path, precision: Precision | None = None) -> Manifest:
    options = BuildOptions(str(directory), None, Target.AMD64, precision, output, force=False)
    return build_bundle(options, Progress()).manifest


@dataclass
class Served:
    manifest: Manifest
    bundle: Path
    server: Server
    original: Original

    def expected(self, text: str, task: Task | None = None, prompt_name: str | None = None) -> NDArray[np.float64]:
        (vector,) = self.original.embed([VectorRequest(text, task, prompt_name)])
        return vector


def assert_equal(vector: list[float], expected: NDArray[np.float64]) -> None:
    difference = np.abs(np.array(vector) - expected).max()
    assert difference <= 1e-6 * max(1.0, np.abs(expected).max()), difference


@pytest.fixture(scope="module", params=MODELS)
def served(request, tmp_path_factory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("static")
    directory = MODELS[request.param](home / "model")
    manifest = build(directory, home / "bundle")
    layout = find_layout(directory)
    assert layout is not None
    with ready(home / "bundle", home / "log") as server:
        yield Served(manifest, home / "bundle", server, load_original(directory, layout))


def test_switches_of_text_models_are_named_when_they_do_nothing(bundle: Path, tmp_path: Path):
    switches = {"ENABLE_CACHE": "1", "USE_QUERY_PASSAGE_PREFIXES": "1", "HONOR_POOLING_STRATEGY": "0"}
    with ready(bundle, tmp_path / "log", **switches) as server:
        named = "WARNING without effect for a static model: ENABLE_CACHE, USE_QUERY_PASSAGE_PREFIXES\n"
        assert server.output().count(named) == 1


def test_every_vector_is_the_originals(served: Served):
    assert (served.manifest.kind, served.manifest.precision) == (Kind.STATIC, Precision.STORED)
    with served.server.connect() as connection:
        for name, text in TEXTS.items():
            answer = connection.embed(text, pooling_strategy="masked_mean", task_type="passage")
            assert answer.status == 200, name
            assert_equal(answer.json["vector"], served.expected(text, Task.PASSAGE))
            assert (answer.json["text"], answer.json["dim"]) == (text, len(answer.json["vector"]))


def test_prompts_are_prepended_as_the_original_does(served: Served):
    names = getattr(served.manifest.section, "prompts", {})
    with served.server.connect() as connection:
        for task in Task:
            answer = connection.embed("the ferry", task_type=task.value)
            assert_equal(answer.json["vector"], served.expected("the ferry", task))
        for name in names:
            answer = connection.embed("the ferry", prompt_name=name)
            assert_equal(answer.json["vector"], served.expected("the ferry", prompt_name=name))


def test_single_texts_and_those_of_lists_are_counted(served: Served):
    model = served.manifest.section_as(StaticModel)
    before = scrape(served.server)
    assert served.server.embed("the ferry").status == 200
    body = json.dumps({"input": ["the ferry", TEXTS["far beyond the limit"], "the ferry"]}).encode()
    with served.server.connect() as connection:
        assert connection.request("POST", "/v1/embeddings", body).status == 200
    after = scrape(served.server)
    assert "kind=static" in after.info
    assert {"/vectors", "/v1/embeddings", "/info", "/meta", "/metrics", "/health"} < after.routes
    for route in ("/vectors", "/v1/embeddings"):
        name = f"cpu2vec_requests_total{{route={route},status=200}}"
        assert after[name] == before[name] + 1
    assert after["cpu2vec_texts_total"] == before["cpu2vec_texts_total"] + 3
    assert after["cpu2vec_tokens_total"] >= before["cpu2vec_tokens_total"] + 5
    is_limited = model.max_tokens is not None or model.tokenizer_limit is not None
    assert after["cpu2vec_texts_truncated_total"] == before["cpu2vec_texts_truncated_total"] + is_limited
    assert after["cpu2vec_pending_texts"] == after["cpu2vec_pending_tokens"] == after["cpu2vec_queue_jobs"] == 0


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    return own_layout(tmp_path_factory.mktemp("own") / "model", wordpiece(), "float16")


@pytest.fixture(scope="module")
def bundle(own: Path, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("own-bundle") / "bundle"
    build(own, output)
    return output


def package(directory: Path):
    from model2vec import StaticModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the package leaves a file open
        return StaticModel.from_pretrained(directory)


def test_chunk_counts_all_tokens(own: Path, bundle: Path, tmp_path: Path):
    model = package(own)
    with ready(bundle, tmp_path / "log", LONG_TEXT="chunk") as server:
        for text in TEXTS.values():
            expected = model.encode([text], max_length=None)[0].astype(np.float64)
            assert_equal(server.embed(text).json["vector"], expected)


def test_a_lower_limit_is_the_packages_max_length(own: Path, bundle: Path, tmp_path: Path):
    model = package(own)
    with ready(bundle, tmp_path / "log", MAX_TOKENS="7") as server:
        for text in TEXTS.values():
            expected = model.encode([text], max_length=7)[0].astype(np.float64)
            assert_equal(server.embed(text).json["vector"], expected)


def test_texts_beyond_a_limit_can_be_refused(bundle: Path, tmp_path: Path):
    with ready(bundle, tmp_path / "log", LONG_TEXT="error") as server:
        assert server.embed("a " * 100).status == 200
        many = server.embed("a " * 513)
        assert (many.status, many.json["error"]) == (
            400,
            "text must have at most 512 tokens, including its prompt (LONG_TEXT is error)",
        )
        long = server.embed("x" * 9000)
        assert long.status == 400
        assert "characters, including its prompt, but has 9000 (LONG_TEXT is error)" in long.json["error"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pooling_strategy": "max"}, 'config.pooling_strategy must be masked_mean or cls, not "max"'),
        ({"task_type": "both"}, 'config.task_type must be query or passage, not "both"'),
        ({"prompt_name": "query"}, 'config.prompt_name must be absent, not "query": this model declares no prompts'),
        ({"dimensions": 17}, "config.dimensions must be a whole number from 1 to 16, the model's dim, not 17"),
    ],
)
def test_a_wrong_field_is_named(bundle: Path, tmp_path: Path, config: dict[str, object], message: str):
    with ready(bundle, tmp_path / "log") as server:
        answer = server.embed("the ferry", **config)
        assert (answer.status, answer.json) == (400, {"error": message})


def test_fewer_dimensions_are_the_first_ones_with_unit_length(own: Path, bundle: Path, tmp_path: Path):
    first = package(own).encode(["the ferry"])[0][:5].astype(np.float64)
    with ready(bundle, tmp_path / "log") as server:
        answer = server.embed("the ferry", dimensions=5)
        np.testing.assert_allclose(answer.json["vector"], first / np.linalg.norm(first), atol=1e-6)
        assert answer.json["dim"] == 5
        assert server.embed("", dimensions=3).json["vector"] == [0, 0, 0]


def test_meta_is_an_object_with_the_models_config(own: Path, bundle: Path, tmp_path: Path):
    with ready(bundle, tmp_path / "log") as server, server.connect() as connection:
        meta = connection.request("GET", "/meta").json
    assert meta["model"]["model_type"] == "model2vec"
    assert meta["model_path"] == "model"
    assert meta["serving"]["long_text"] == "truncate"
    assert meta["serving"]["max_tokens"] == 512


def test_long_texts_and_short_ones_are_in_flight_together(bundle: Path, tmp_path: Path):
    text = "the ferry to the island " * 20_000
    body = b'{"text": "' + text.encode() + b'"}'
    with (
        ready(bundle, tmp_path / "log", LONG_TEXT="chunk") as server,
        server.connect() as slow,
        server.connect() as quick,
    ):
        slow.send(b"POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert quick.embed("the ferry").status == 200
        assert slow.answer().status == 200


def test_no_process_loads_onnxruntime_and_the_master_no_library_of_the_workers(bundle: Path, tmp_path: Path):
    with ready(bundle, tmp_path / "log", []) as server:  # the plain command: a fork has what its server has loaded
        (worker,) = server.workers()
        master, mapped = (Path(f"/proc/{pid}/maps").read_text() for pid in (server.process.pid, worker))
    for library in ("onnxruntime", "libcpu2vec"):
        assert library not in master + mapped
    for library in ("falcon", "httptools", "numpy", "tokenizers", "uvloop"):
        assert library not in master
        assert library in mapped
    assert "table.npy" in mapped


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_other_precisions_are_close_and_sizes_are_shown(own: Path, tmp_path: Path, precision: Precision):
    options = BuildOptions(str(own), None, Target.AMD64, precision, tmp_path / "bundle", force=False)
    result = build_bundle(options, Progress())
    cosine = result.manifest.fidelity.cosine
    assert cosine.minimum >= 0.9999 if precision is Precision.FP32 else cosine.minimum >= 0.999
    wide = {Precision.FP32: "float32", Precision.INT8: "int8"}[precision]
    assert f"float16 (0.0 MB) → {wide} (0.0 MB)" in dict(result.summary)["table"]
    model = package(own)
    with ready(tmp_path / "bundle", tmp_path / "log") as server:
        vector = np.array(server.embed("the ferry to the island").json["vector"])
        expected = model.encode(["the ferry to the island"])[0].astype(np.float64)
        assert vector @ expected / np.linalg.norm(expected) > 0.999


def test_a_precision_of_another_kind_is_refused(own: Path, tmp_path: Path):
    with pytest.raises(InvalidOption) as error:
        build(own, tmp_path / "bundle", Precision.INT8_STOCK)
    assert str(error.value) == (
        "--precision must be stored, fp32 or int8 for model, a model of kind static, not int8-stock"
    )
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_is_named_after_its_own_precision(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = BuildOptions(str(own), None, Target.AMD64, None, None, force=False)
    (output,) = options.outputs(Precision.STORED)
    assert output[1].name.endswith("-stored-amd64")


@pytest.mark.parametrize("name", ["own", "sentence-dense"])
def test_a_bundle_is_the_same_when_it_is_built_again(name: str, tmp_path: Path):
    directory = MODELS[name](tmp_path / "model")
    first, second = build(directory, tmp_path / "a"), build(directory, tmp_path / "b")
    assert first == second == read_manifest(tmp_path / "b")


def test_what_serves_another_table_is_noticed(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from build.static import table

    monkeypatch.setattr(
        "build.static.table.in_precision", lambda read, precision: table.StaticTable(-read.rows, None, None, None)
    )
    with pytest.raises(BuildError):
        build(own, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_padding_token_without_a_row_stops_the_start(bundle: Path, tmp_path: Path):
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    manifest = json.loads((broken / MANIFEST_FILE).read_text())
    rows = len(np.load(broken / "table.npy"))
    manifest["static"]["padding"] = {"token": rows, "length": 8, "multiple_of": 1}
    (broken / MANIFEST_FILE).write_text(json.dumps(manifest))
    with started(broken, tmp_path / "log") as server:
        assert server.exit_status() == 3
        assert f"static.padding.token must be less than {rows}, not {rows}" in server.output()


def test_a_table_with_too_few_rows_stops_the_start(bundle: Path, tmp_path: Path):
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    rows = np.load(broken / "table.npy")
    np.save(broken / "table.npy", rows[:-1])
    manifest = json.loads((broken / MANIFEST_FILE).read_text())
    for name, entry in describe_files(broken, read_manifest(broken).section).items():
        manifest["files"][name] = {"size": entry.size, "sha256": entry.sha256}
    (broken / MANIFEST_FILE).write_text(json.dumps(manifest))
    with started(broken, tmp_path / "log") as server:
        assert server.exit_status() == 3
        assert f"tokenizer.json has {len(rows)} tokens, and only {len(rows) - 1} have a row" in server.output()
