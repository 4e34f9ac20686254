"""What C++ and Python both write down: the layout of weights, limits, names, and the version of the ops."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from build.graph.external_data import ALIGNMENT
from build.native.encoder import NATIVE_OPS, AttentionMask, KernelActivation
from build.native.packing import PANEL, QUAD, channel_groups
from tests.support.graphs import kernel_ops
from tests.support.paths import ROOT


def source(name: str) -> str:
    return (ROOT / "kernels" / "src" / name).read_text()


def constants(name: str) -> dict[str, float]:
    """The numbers that a source file defines, by name; one that is computed from others is left out."""
    found = re.findall(r"constexpr \w+ (k\w+) = (-?[\d.]+(?:e-?\d+)?)f?;", source(name))
    return {constant: float(value) for constant, value in found}


LAYOUT = constants("kernels.h")


def test_a_panel_and_a_quad_have_the_same_size_in_both_languages():
    assert (LAYOUT["kPanel"], LAYOUT["kQuad"]) == (PANEL, QUAD)


def groups(inputs: int) -> list[int]:
    """Sizes of groups as ``group_width`` and ``group_end`` in kernels.h compute them."""
    largest, multiple = int(LAYOUT["kMaxGroupSize"]), int(LAYOUT["kRowAlignment"])
    share = -(-inputs // -(-inputs // largest))
    width = -(-share // multiple) * multiple
    return [min(width, inputs - start) for start in range(0, inputs, width)]


@pytest.mark.parametrize("first", range(1, 5000, 1000))
def test_channels_are_grouped_alike_in_both_languages(first: int):
    for inputs in range(first, first + 1000):
        assert list(channel_groups(inputs)) == groups(inputs)


def test_weights_on_page_boundaries_are_aligned_as_the_kernels_need_them():
    assert ALIGNMENT % LAYOUT["kAlignment"] == 0


def test_the_ops_have_the_same_domain_and_version_in_both_languages():
    (domain,) = re.findall(r'kDomain = "(\w+)";', source("ort_node.h"))
    assert (domain, constants("ort_node.h")["kOpSet"]) == (NATIVE_OPS.domain, NATIVE_OPS.version)
    kernel_ops.host_library()
    assert kernel_ops.open_library().cpu2vec_kernels_opset() == NATIVE_OPS.version


@pytest.mark.parametrize(("kind", "values"), [("Activation", KernelActivation), ("Mask", AttentionMask)])
def test_attributes_have_the_same_names_in_both_languages(kind: str, values: type[StrEnum]):
    (listed,) = re.findall(rf"k{kind}Names\[\] = \{{([^}}]*)\}}", source("ort_node.h"))
    names = re.findall(r'"(\w+)"', listed)
    assert sorted(names) == sorted(value.value for value in values)
    assert len(names) == LAYOUT[f"k{kind}s"]
    (members,) = re.findall(rf"enum class {kind} \{{([^}}]*)\}}", source("kernels.h"))
    assert [f"k{name.title().replace('_', '')}" for name in names] == re.findall(r"\w+", members)


def test_the_tests_reference_has_the_kernels_limits():
    assert LAYOUT["kSmallestRange"] == kernel_ops.SMALLEST_RANGE
    assert constants("simd_kernels.h")["kIntegersFrom"] == kernel_ops.INTEGERS_FROM
