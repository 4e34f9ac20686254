"""The prompts that a loaded original prepends, whatever a bundle declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from build.model.describe import describe
from build.model.trust import NO_TRUST
from build.pytorch.reference import Reference, load_reference
from manifest import Task
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel

PROMPTS = {"query": "q: ", "document": "", "passage": "p: ", "sts": "s: "}
WITH_DEFAULT = TinyModel("reference-default", "bert", "bert", "BertModel", prompts=PROMPTS, default_prompt="sts")
WITHOUT_DEFAULT = TinyModel("reference-plain", "bert", "bert", "BertModel", prompts=PROMPTS)
WITHOUT_PROMPTS = TinyModel("reference-bare", "bert", "bert", "BertModel")
DPR = TinyModel("reference-dpr", "dpr", "dpr question", "DPRQuestionEncoder", pooling=None)


def original(model: TinyModel) -> Reference:
    directory: Path = tiny_models.make(model)
    return load_reference(directory, describe(directory, trust_remote_code=False), NO_TRUST)


@pytest.mark.parametrize(
    ("model", "without", "query", "passage"),
    [
        (WITH_DEFAULT, "s: ", "q: ", "p: "),
        (WITHOUT_DEFAULT, "", "q: ", "p: "),
        (WITHOUT_PROMPTS, "", "", ""),
        (DPR, "", "", ""),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_task_has_its_prompt_and_a_text_without_one_the_default(
    model: TinyModel, without: str, query: str, passage: str
):
    reference = original(model)
    assert [reference.prompt(task) for task in (None, Task.QUERY, Task.PASSAGE)] == [without, query, passage]


def test_a_prompts_name_wins_over_the_task_and_an_unknown_one_is_no_prompt():
    reference = original(WITH_DEFAULT)
    assert reference.prompt(Task.QUERY, "sts") == "s: "
    assert reference.prompt(None, "document") == ""
    assert reference.prompt(None, "made up") == ""
