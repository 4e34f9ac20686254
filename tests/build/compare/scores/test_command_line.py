"""``make compare`` of rerankers as a user runs it: real containers on both sides, or one that plays somebody else's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.bundles import unverified_bundle
from build.compare.scores.causes import ScoreCause
from build.compare.scores.queries import read_queries
from build.compare.variant_bundle import write_variant
from build.precisions import PRECISIONS
from build.ranking.heldout import HELDOUT_FILE
from manifest import Activation, Precision, RerankModel, read_manifest
from tests.support.bundles.cache import cached
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel
from tests.support.models.tiny_rerankers import OLDER, a_reranker
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Server, ready
from tests.support.server.stub_container import always, scoring, serving

pytestmark = pytest.mark.slow

MODELS = {
    "logits": a_reranker("reranker-logits", "bert", "bert", "Bert", **OLDER),
    "stranger": a_reranker("reranker-stranger", "bert", "bert", "Bert"),
    "text": TinyModel("no-reranker", "bert", "bert", "BertModel"),
}
STAGE = re.compile(r"\[(\d)/3\] (score|embed|measure|explain): .+")
TOKEN = "aVeryPrivateToken0123456789"


@pytest.fixture(scope="module")
def bundles() -> dict[str, Path]:
    """The bundles of the models in fp32, by name, without their verification."""
    return {name: cached(f"fp32-{model.name}", partial(_build, model)) for name, model in MODELS.items()}


def _build(model: TinyModel, output: Path) -> None:
    unverified_bundle(str(tiny_models.make(model)), PRECISIONS[Precision.FP32], output)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts old containers: of a bundle, with settings."""
    with ExitStack() as stack:
        yield lambda bundle, **settings: stack.enter_context(ready(bundle, tmp_path / "old.log", **settings))


def run(
    server: Server | str, bundle: Path, queries: Path, *more: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    address = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
    command = [sys.executable, "-W", "error", "-m", "build.compare"]
    return subprocess.run(
        [*command, "--old", address, "--bundle", bundle, "--texts", queries, *map(str, more)],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def compared(server: Server, bundle: Path, home: Path, queries: Path = HELDOUT_FILE) -> tuple[str, dict[str, Any]]:
    """The table and the JSON of a run that came to a verdict, which both show, as does the exit status."""
    file = home / "compared.json"
    result = run(server, bundle, queries, "--json", file)
    value = json.loads(file.read_text(encoding="utf-8"))
    assert result.returncode == {"drop in": 0, "rankings differ": 3}[value["verdict"]], result.stderr
    rows = dict(re.findall(r"^(\S+) +(.+)$", result.stdout, re.MULTILINE))
    assert (rows["verdict"], rows["because"]) == (value["verdict"], value["reasons"][0])
    assert all(STAGE.fullmatch(line) for line in result.stderr.splitlines()), result.stderr
    return result.stdout, value


def message(result: subprocess.CompletedProcess[str]) -> str:
    """The one line, besides those that announce stages, of a run that failed as it should."""
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    (line,) = [line for line in result.stderr.splitlines() if not STAGE.fullmatch(line)]
    assert TOKEN not in line
    return line.removeprefix("compare: ")


def test_the_same_bundle_is_a_drop_in(old, bundles, tmp_path: Path):
    queries = read_queries(HELDOUT_FILE).queries
    table, value = compared(old(bundles["logits"]), bundles["logits"], tmp_path)
    assert value["verdict"] == "drop in"
    assert (value["repeated"], value["findings"], value["notes"]) == (0, [], [])
    assert value["figures"]["scores"] | {"count": 0} == {
        **dict.fromkeys(("count", "error_mean", "error_max", "error_rms"), 0),
        **dict.fromkeys(("rank_agreement", "top_kept"), 1),
    }
    documents = sum(len(query.documents) for query in queries)
    assert table.startswith(f"queries  {len(queries)}, with {documents} documents\n")
    assert "furthest" not in table


def test_scores_of_another_activation_function_rank_alike(old, bundles, tmp_path: Path):
    """As a container does that applies a sigmoid to every model."""
    manifest = read_manifest(bundles["logits"])
    model = manifest.section_as(RerankModel)
    assert model.activation is Activation.IDENTITY
    (tmp_path / "variant").mkdir()
    write_variant(bundles["logits"], manifest, replace(model, activation=Activation.SIGMOID), tmp_path / "variant")
    table, value = compared(old(tmp_path / "variant"), bundles["logits"], tmp_path)
    assert value["verdict"] == "drop in"
    assert [finding["cause"] for finding in value["findings"]] == [ScoreCause.ACTIVATION]
    assert "the old container answers with sigmoids of logits" in table
    (note,) = value["notes"]
    assert table.endswith(f"\nnote     {note}\n")


def test_another_model_ranks_otherwise(old, bundles, tmp_path: Path):
    table, value = compared(old(bundles["stranger"]), bundles["logits"], tmp_path)
    assert value["verdict"] == "rankings differ"
    assert ([finding["cause"] for finding in value["findings"]], value["notes"]) == ([ScoreCause.ANOTHER_MODEL], [])
    assert len(re.findall(r"^(?:furthest|        )  -?\d\.\d{4}  \S", table, re.MULTILINE)) == 5


def test_a_token_opens_the_old_container_and_a_query_cannot_steer_the_terminal(old, bundles, tmp_path: Path):
    queries = tmp_path / "queries.txt"
    queries.write_text("\x1b[31mred\x1b[0m\na river\na stone\na river\nthe light\n", encoding="utf-8")
    server = old(bundles["stranger"], AUTHENTICATION_ALLOWED_TOKENS=TOKEN)
    refused = message(run(server, bundles["logits"], queries))
    assert refused.endswith("answered 401: set OLD_TOKEN to a bearer token that it accepts")
    result = run(server, bundles["logits"], queries, OLD_TOKEN=TOKEN)
    assert result.returncode in (0, 3), result.stderr
    assert TOKEN not in result.stdout + result.stderr
    assert re.match(r"queries +1, with 3 documents \(1 repeated ones left out\)\n", result.stdout)
    assert not set("\r\x1b\x08") & set(result.stdout)
    assert "the verdict is based on only 1 query;" in result.stdout


class TestFailures:
    def test_a_container_of_another_kind_is_reported(self, old, bundles, tmp_path: Path):
        texts = tmp_path / "texts.txt"
        texts.write_text("a river\na stone\nthe light\n")
        refused = message(run(old(bundles["text"]), bundles["logits"], HELDOUT_FILE))
        assert refused.endswith("answered 404: there is no POST /rerank below this address")
        refused = message(run(old(bundles["logits"]), bundles["text"], texts))
        assert refused.endswith("answered 404: there is no POST /vectors below this address")

    def test_a_container_that_ranks_instead_of_scoring_in_order_is_reported(self, bundles):
        with serving(always(200, b'[{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]')) as (address, seen):
            refused = message(run(address, bundles["logits"], HELDOUT_FILE))
        assert "without one finite score for each of 8 documents, in their order: [{" in refused
        assert len(seen.paths) == 1

    def test_a_container_that_scores_everything_alike_is_reported(self, bundles):
        with serving(scoring(lambda document: 0.5)) as (address, _):
            refused = message(run(address, bundles["logits"], HELDOUT_FILE))
        expected = f"the old container at {address} gives every document the score 0.5: there is no order to compare"
        assert refused == expected

    @pytest.mark.parametrize("option", ["--task=query", "--task=none", "--pooling-strategy=cls"])
    def test_options_about_vectors_are_refused(self, bundles, option: str):
        refused = message(run("http://127.0.0.1:1", bundles["logits"], HELDOUT_FILE, option))
        name = option.partition("=")[0]
        assert refused == f"{name} must not be given: {bundles['logits']} is a reranker, whose requests have none"

    def test_a_file_of_plain_texts_is_refused(self, bundles, tmp_path: Path):
        texts = tmp_path / "texts.txt"
        texts.write_text("one\n\ntwo\n")
        refused = message(run("http://127.0.0.1:1", bundles["logits"], texts))
        assert (
            refused == f"{texts}: the query 'one' must have at least 2 different documents on the lines below it, not 0"
        )
