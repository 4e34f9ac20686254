"""Reads a Router of sentence-transformers: which modules a query goes through, and which a passage."""

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
    """``modules`` of each route that a text can take; ``routes``: the one of each task; ``default``: without a task."""

    modules: dict[str, list[Module]]
    routes: dict[Task, str]
    default: str | None


def read_routing(directory: Path, folder: str) -> Routing:
    """Raises ``UnsupportedModel`` that names the file and the key, also for a Router without a route for each task."""
    name = f"{folder}/{ROUTER_CONFIG}" if folder else ROUTER_CONFIG
    config = read_object(directory, name)
    refuse_unknown(config, {"types", "structure", "parameters"}, name)
    types, structure = _object(config, "types", name), _object(config, "structure", name)
    parameters = _object(config, "parameters", name)
    refuse_unknown(parameters, {"default_route", "allow_empty_key", "route_mappings"}, name)
    modules = {}
    for route, members in structure.items():
        if not isinstance(members, list) or not members or not all(str(member) in types for member in members):
            raise UnsupportedModel(f"{name}: the route {route} is not a list of modules that types names")
        prefix = f"{folder}/" if folder else ""
        modules[route] = [parse_module(str(types[member]), f"{prefix}{member}", name) for member in members]
    mappings = _mappings(parameters.get("route_mappings") or {}, modules, name)
    routes = {}
    for task, spellings in TASK_NAMES.items():
        found = [route for spelling in spellings if (route := _resolve(spelling, mappings, modules))]
        if not found:
            raise UnsupportedModel(f"{name}: the Router has no route for a {task}")
        routes[task] = found[0]
    default = _resolve(None, mappings, modules) or _declared_default(parameters, modules, name)
    reachable = {*routes.values(), *([default] if default else [])}
    return Routing({route: modules[route] for route in modules if route in reachable}, routes, default)


def _resolve(task: str | None, mappings: dict[Any, str], modules: dict[str, list[Module]]) -> str | None:
    """sentence-transformers' order (Router): a mapping of both, of the task, of the modality; then routes by name."""
    for key in ((task, "text"), (task, None), (None, "text"), (None, None)):
        if key in mappings:
            return mappings[key]
    return next((name for name in (task, "text") if name in modules), None)


def _declared_default(parameters: dict[str, Any], modules: dict[str, list[Module]], name: str) -> str | None:
    default = parameters.get("default_route")
    if default is None:
        return next(iter(modules)) if parameters.get("allow_empty_key", True) else None
    if default not in list(modules):
        raise UnsupportedModel(f"{name}: default_route is {json.dumps(default)}, and no route has that name")
    return str(default)


def _mappings(value: Any, modules: dict[str, list[Module]], name: str) -> dict[Any, str]:
    """The keys are Python tuples as text: «('query', 'text')»."""
    try:
        mappings = {ast.literal_eval(key): route for key, route in value.items()}
        malformed = not all(isinstance(key, tuple) and len(key) == 2 for key in mappings)
    except (AttributeError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        malformed = True
    if malformed:
        raise UnsupportedModel(f"{name}: route_mappings is not an object of (task, modality) and a route's name")
    for route in mappings.values():
        if route not in list(modules):
            raise UnsupportedModel(f"{name}: route_mappings names a route that there is not: {json.dumps(route)}")
    return mappings


def _object(config: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    value = config.get(key)
    if not isinstance(value, dict) or (key != "parameters" and not value):
        raise UnsupportedModel(f"{name}: {key} is missing or not an object")
    return value
