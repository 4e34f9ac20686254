"""Reads a Router of sentence-transformers: the modules for queries, and those for passages."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import UnsupportedModel
from build.model.files import ROUTER_CONFIG
from build.model.json_files import read_object, refuse_unknown
from build.model.sentence_modules import Module, parse_module
from manifest import Task

TASK_NAMES = {Task.QUERY: ("query",), Task.PASSAGE: ("document", "passage", "corpus")}
"""The names of a task in models' files, in the order they are tried; the first is sentence-transformers' own."""


@dataclass(frozen=True)
class Routing:
    """The routes that a text can take through a Router."""

    modules: dict[str, list[Module]]
    """The modules of each route, by its name."""

    routes: dict[Task, str]
    """The route of each task."""

    default: str | None
    """The route of a text without a task; None where such a text is refused."""


def read_routing(directory: Path, folder: str) -> Routing:
    """Read a Router's config. Raises ``UnsupportedModel`` that names the file and the key, or the missing route."""
    name = f"{folder}/{ROUTER_CONFIG}" if folder else ROUTER_CONFIG
    config = read_object(directory, name)
    refuse_unknown(config, {"types", "structure", "parameters"}, name)
    types, structure = _object(config, "types", name), _object(config, "structure", name)
    parameters = _object(config, "parameters", name)
    refuse_unknown(parameters, {"default_route", "allow_empty_key", "route_mappings"}, name)
    modules = {}
    for route, members in structure.items():
        if not isinstance(members, list) or not members or not all(str(member) in types for member in members):
            raise UnsupportedModel(f"{name}: the route {route} must be a list of modules that types declares")
        prefix = f"{folder}/" if folder else ""
        modules[route] = [parse_module(str(types[member]), f"{prefix}{member}", name) for member in members]
    mappings = _mappings(parameters.get("route_mappings") or {}, modules, name)
    routes = {}
    for task, spellings in TASK_NAMES.items():
        resolved = (_resolve(spelling, mappings, modules) for spelling in spellings)
        chosen = next(filter(None, resolved), None)
        if chosen is None:
            raise UnsupportedModel(f"{name}: the Router has no route for a {task}")
        routes[task] = chosen
    default = _resolve(None, mappings, modules) or _declared_default(parameters, modules, name)
    reachable = {*routes.values(), *([default] if default else [])}
    return Routing({route: modules[route] for route in modules if route in reachable}, routes, default)


def _resolve(task: str | None, mappings: dict[Any, str], modules: dict[str, list[Module]]) -> str | None:
    """Choose a route as sentence-transformers' Router does: by mappings, the most specific first, and then by name."""
    for key in ((task, "text"), (task, None), (None, "text"), (None, None)):
        if key in mappings:
            return mappings[key]
    return next((name for name in (task, "text") if name in modules), None)


def _declared_default(parameters: dict[str, Any], modules: dict[str, list[Module]], name: str) -> str | None:
    default = parameters.get("default_route")
    if default is None:
        return next(iter(modules)) if parameters.get("allow_empty_key", True) else None
    if default not in list(modules):
        raise UnsupportedModel(f"{name}: default_route must be the name of a route, not {json.dumps(default)}")
    return str(default)


def _mappings(value: Any, modules: dict[str, list[Module]], name: str) -> dict[Any, str]:
    """Decode the mappings, whose keys are Python tuples as text: "('query', 'text')"."""
    try:
        mappings = {ast.literal_eval(key): route for key, route in value.items()}
        malformed = not all(isinstance(key, tuple) and len(key) == 2 for key in mappings)
    except (AttributeError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        malformed = True
    if malformed:
        raise UnsupportedModel(f"{name}: route_mappings must map (task, modality) to the name of a route")
    for route in mappings.values():
        if route not in list(modules):
            raise UnsupportedModel(f"{name}: route_mappings names an unknown route: {json.dumps(route)}")
    return mappings


def _object(config: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    value = config.get(key)
    if not isinstance(value, dict) or (key != "parameters" and not value):
        raise UnsupportedModel(f"{name}: {key} must be an object{'' if key == 'parameters' else ' with entries'}")
    return value
