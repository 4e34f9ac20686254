"""Routers: the modules of each task, and a name for everything that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from build.errors import UnsupportedModel
from build.model.files import ROUTER_CONFIG
from build.model.sentence_files import read_sentence_files
from build.model.sentence_modules import TensorNames
from manifest import LayerKind, Task
from tests.support.json_files import change


def edit_router(directory: Path, edit: Any) -> None:
    change(directory / "2_Router" / ROUTER_CONFIG, edit)


def test_a_router_has_a_chain_for_each_task(routed: Path):
    files = read_sentence_files(routed)
    assert (files.routes, files.default) == ({Task.QUERY: "query", Task.PASSAGE: "document"}, "document")
    for route, chain in files.chains.items():
        assert [layer.kind for layer in chain.layers] == [LayerKind.DENSE, LayerKind.NORMALIZE]
        assert chain.layers[0].tensors == TensorNames(f"2_Router/{route}_0_Dense", "linear.weight", "linear.bias")


@pytest.mark.parametrize(
    ("parameters", "default"),
    [
        ({}, "query"),
        ({"default_route": "query"}, "query"),
        ({"default_route": None, "allow_empty_key": True}, "query"),
        ({"default_route": None, "allow_empty_key": False}, None),
        ({"default_route": "query", "route_mappings": {"(None, None)": "document"}}, "document"),
    ],
)
def test_a_text_without_a_task_takes_the_routers_default(routed: Path, parameters: dict, default: str | None):
    edit_router(routed, lambda router: router.update(parameters=parameters))
    assert read_sentence_files(routed).default == default


@pytest.mark.parametrize("key", ["('query', 'text')", "('query', None)"])
def test_a_mapping_wins_over_a_routes_name(routed: Path, key: str):
    edit_router(routed, lambda router: router["parameters"].update(route_mappings={key: "document"}))
    files = read_sentence_files(routed)
    assert (list(files.chains), files.routes[Task.QUERY]) == (["document"], "document")


def test_a_route_that_no_text_takes_is_not_built(routed: Path):
    def add(router: dict) -> None:
        router["types"]["image_0_CLIP"] = "sentence_transformers.models.CLIPModel"
        router["structure"]["image"] = ["image_0_CLIP"]

    edit_router(routed, add)
    assert list(read_sentence_files(routed).chains) == ["query", "document"]


REFUSED_ROUTERS = {
    "2_Router/router_config.json: the Router has no route for a query": lambda r: r["structure"].pop("query"),
    "the Router has no route for a passage": lambda r: r["structure"].pop("document"),
    "types must be an object with entries": lambda r: r.pop("types"),
    "structure must be an object with entries": lambda r: r.update(structure=[]),
    "2_Router/router_config.json: parameters must be an object": lambda r: r.pop("parameters"),
    "the key extra is unknown": lambda r: r.update(extra=1),
    "the key weights is unknown": lambda r: r["parameters"].update(weights=1),
    "the route query must be a list of modules that types declares": lambda r: r["structure"].update(query=["gone"]),
    "the module my_code.Head is not one": lambda r: r["types"].update(query_0_Dense="my_code.Head"),
    'default_route must be the name of a route, not "gone"': lambda r: r["parameters"].update(default_route="gone"),
    "route_mappings must map (task, modality) to the name of a route": lambda r: r["parameters"].update(
        route_mappings={"query": "query"}
    ),
    'route_mappings names an unknown route: "gone"': lambda r: r["parameters"].update(
        route_mappings={"('query', None)": "gone"}
    ),
    "2_Router/../x is outside": lambda r: (
        r["types"].update({"../x": "sentence_transformers.models.Dense"}),
        r["structure"].update(query=["../x"]),
    ),
}


@pytest.mark.parametrize("message", REFUSED_ROUTERS)
def test_a_router_that_is_not_understood_is_refused_by_name(routed: Path, message: str):
    edit_router(routed, REFUSED_ROUTERS[message])
    with pytest.raises(UnsupportedModel) as caught:
        read_sentence_files(routed)
    assert message in str(caught.value)
