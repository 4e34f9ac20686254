"""The ways in which held-out texts are asked for: every prompt and task of the original has its share."""

from __future__ import annotations

from collections import Counter

from build.fidelity.requests import spread_over_prompts
from build.model.sentence_files import Prompts
from manifest import Task

TEXTS = [f"text {number}" for number in range(24)]


def variants(routes: tuple, prompts: dict[str, str], default: str | None = None) -> Counter:
    requests = spread_over_prompts(TEXTS, routes, Prompts(prompts, default, None))
    assert [request.text for request in requests] == TEXTS * len(routes)
    return Counter((request.task, request.prompt_name) for request in requests)


def test_without_prompts_texts_are_asked_for_as_they_are():
    assert variants((None,), {}) == {(None, None): 24}
    assert variants((None,), {"query": "", "document": ""}) == {(None, None): 24}


def test_with_prompts_each_task_has_its_share_and_each_prompt_that_no_task_leads_to():
    prompts = {"query": "q: ", "document": "d: ", "sts": "s: ", "empty": ""}
    plain, query, passage = (None, None), (Task.QUERY, None), (Task.PASSAGE, None)
    assert variants((None,), prompts) == {plain: 6, query: 6, passage: 6, (None, "sts"): 6}
    assert variants((None,), prompts, default="sts") == {plain: 8, query: 8, passage: 8}


def test_each_route_gets_every_text():
    assert variants((Task.PASSAGE, Task.QUERY), {"query": "q: "}) == {(Task.PASSAGE, None): 24, (Task.QUERY, None): 24}
