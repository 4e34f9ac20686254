"""Prefixes in place of the model's own prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manifest import Task
from runtime.text.prefixes import with_prefixes
from runtime.text.request import default_request
from tests.support.server.fake_encoder import MODEL

NAME = next(iter(MODEL.encoders))
PROMPTED = replace(
    MODEL,
    prompts={"search": "Find this: ", "passage": "Text: "},
    tasks={"query": "search", "passage": "passage"},
    default_prompt="search",
    encoders={NAME: replace(MODEL.encoders[NAME], prompt_tokens={"search": 3})},
)
"""A model whose pooling skips the tokens of one of its prompts."""


@pytest.mark.parametrize(("task", "prefix"), [(Task.QUERY, "query: "), (Task.PASSAGE, "passage: "), (None, "")])
def test_a_text_gets_the_prefix_of_its_task_alone(task: Task | None, prefix: str):
    request = default_request(with_prefixes(PROMPTED), "text", task)
    assert request is not None
    assert (request.prompt, request.skipped_tokens) == (prefix, 0)


def test_the_models_own_prompts_are_gone():
    model = with_prefixes(PROMPTED)
    assert model.prompts == {"query": "query: ", "passage": "passage: "}
    model.check()


def test_everything_else_is_the_models():
    model = with_prefixes(PROMPTED)
    own = replace(
        model,
        prompts=PROMPTED.prompts,
        tasks=PROMPTED.tasks,
        default_prompt=PROMPTED.default_prompt,
        encoders=PROMPTED.encoders,
    )
    assert own == PROMPTED
