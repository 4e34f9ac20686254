"""Says how a finished bundle is to be measured on this machine: in which classes of arithmetic, with what room."""

from __future__ import annotations

from build.fidelity.cpu_classes import VerificationPlan, native_plan, stock_plan
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from build.precisions import Recipe
from manifest import TextModel


def measuring_of(text: TextModel, recipe: Recipe) -> VerificationPlan:
    """Native kernels are compiled for it where that was not done before. Raises ``BuildError``."""
    if all(graph.ops is None for graph in text.graphs.values()):
        return stock_plan(recipe.arithmetic, recipe.golden_slack)
    return native_plan(instruction_sets(ensure(host_target())), recipe.golden_slack)
