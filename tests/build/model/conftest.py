"""Directories of models, and a hub, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from build.model.files import ROUTER_CONFIG
from tests.support.json_files import change, write
from tests.support.models.hub_client import FETCHING, FILES, MODEL, UNWANTED, HubClient
from tests.support.models.sentence_directories import dense_config, module
from tests.support.models.tiny_description import TinyModel
from tests.support.models.tiny_sentence_files import write_sentence_files
from tests.support.programs.hub_forks import HubForks
from tests.support.server import hub_server
from tests.support.server.hub_server import Hub, Repository

PLAIN = TinyModel("plain", "bert", "bert", "BertModel", prompts={"query": "q: ", "passage": "p: "}, normalize=True)


@pytest.fixture(params=["release 2", "release 5"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_sentence_files(tmp_path, TinyModel(**{**vars(PLAIN), "newer_form": request.param == "release 5"}))
    return tmp_path


@pytest.fixture
def routed(directory: Path) -> Path:
    """Transformer, Pooling, then a Router of two Dense modules, then Normalize."""
    change(directory / "modules.json", lambda modules: modules.insert(2, module("Router", "2_Router")))
    kind = "sentence_transformers.base.modules.dense.Dense"
    router = {
        "types": {"query_0_Dense": kind, "document_0_Dense": kind},
        "structure": {"query": ["query_0_Dense"], "document": ["document_0_Dense"]},
        "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
    }
    write(directory / "2_Router" / ROUTER_CONFIG, router)
    for folder, width in (("query_0_Dense", 8), ("document_0_Dense", 8)):
        write(directory / "2_Router" / folder / "config.json", dense_config(out_features=width))
    return directory


@pytest.fixture(scope="session")
def fetching() -> Iterator[HubForks]:
    """Starts fetches of models without their libraries' imports."""
    forks = HubForks(FETCHING)
    yield forks
    forks.close()


@pytest.fixture
def hub(fetching: HubForks) -> Iterator[Hub]:
    with hub_server.running_hub(fetching.port) as hub:
        hub.repositories[MODEL] = Repository(FILES | UNWANTED, refs=("main", "v1.0", "refs/pr/7"))
        yield hub


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path, fetching: HubForks) -> HubClient:
    return HubClient(tmp_path, fetching)
