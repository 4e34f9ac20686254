"""Which hypotheses are tried for a model, and what they change."""

from __future__ import annotations

from dataclasses import replace

from build.compare.hypotheses import TRUNCATE, Cause, Explanation, Hypothesis, explanations
from manifest import Activation, Layer, LayerKind, PoolingMode, Task, TextModel
from tests.support.bundles.text_models import NORMALIZE, a_text_model, an_encoder, two_routes


def causes_of(hypothesis: Hypothesis) -> list[Cause]:
    return [explanation.cause for explanation in explanations(hypothesis, None)]


def prompts_of(model: TextModel) -> list[str]:
    """What the model prepends without a task, and for each task."""
    resolved = [model.resolve(task) for task in (None, *Task)]
    return [found.prompt for found in resolved if found]


def explained_by(model: TextModel, task: Task | None, *causes: Cause) -> list[Explanation]:
    """The explanations that are tried for these causes."""
    return [explanation for explanation in explanations(Hypothesis(model), task) if explanation.cause in causes]


def test_a_plain_model_is_tried_with_other_pooling_and_with_truncation():
    assert causes_of(Hypothesis(a_text_model())) == [Cause.CLS_POOLING, Cause.TRUNCATION]
    assert causes_of(Hypothesis(a_text_model(PoolingMode.CLS), TRUNCATE)) == [Cause.MEAN_POOLING]
    assert causes_of(Hypothesis(a_text_model(PoolingMode.LAST_TOKEN), TRUNCATE)) == [
        Cause.MEAN_POOLING,
        Cause.CLS_POOLING,
    ]


def test_prompts_are_tried_for_the_task():
    prompts = {"query": "q: ", "passage": "p: ", "other": "o: "}
    model = a_text_model(prompts=prompts, tasks={"query": "query", "passage": "passage"}, default_prompt="passage")
    model = replace(model, encoders={"text": an_encoder(prompt_tokens={"query": 3})})
    none, other = explained_by(model, Task.PASSAGE, Cause.NO_PROMPT, Cause.OTHER_PROMPT)
    assert (none.cause, other.cause) == (Cause.NO_PROMPT, Cause.OTHER_PROMPT)
    assert none.text == "the old container prepends no prompt, and the bundle prepends 'p: '"
    assert prompts_of(none.hypothesis.model) == ["", "", ""]
    assert prompts_of(other.hypothesis.model) == ["q: ", "q: ", "q: "]
    assert none.hypothesis.model.main_encoder.prompt_tokens == {}


def test_every_prompt_is_tried_where_the_bundle_has_none():
    prompts = {"query": "q: ", "passage": "p: ", "other": "o: "}
    model = a_text_model(prompts=prompts, tasks={"query": "query"}, default_prompt="passage")
    tried = explained_by(model, Task.PASSAGE, Cause.NO_PROMPT, Cause.OTHER_PROMPT)
    assert [explanation.text for explanation in tried] == [
        "the old container prepends the prompt 'p: ', and the bundle prepends none",
        "the old container prepends the prompt 'q: ', and the bundle prepends none",
    ]


def test_the_other_route_of_a_router_is_tried():
    (explanation,) = explained_by(two_routes(), Task.PASSAGE, Cause.OTHER_ROUTE)
    assert [explanation.hypothesis.model.encoder_name(task) for task in Task] == ["query", "query"]


def test_layers_with_weights_are_left_out_and_others_stay():
    dense = Layer(LayerKind.DENSE, weight="w", activation=Activation.TANH)
    (explanation,) = explained_by(a_text_model(layers=(dense, NORMALIZE), dim=2), None, Cause.NO_LAYERS)
    assert explanation.text.endswith("(dense)")
    assert explanation.hypothesis.model.dim == 4
    assert explanation.hypothesis.model.main_encoder.layers == (NORMALIZE,)


def test_concatenated_pooling_modes_stay_where_later_layers_need_their_width():
    modes = (PoolingMode.CLS, PoolingMode.MEAN)
    dense = Layer(LayerKind.DENSE, weight="w", activation=Activation.TANH)
    assert Cause.MEAN_POOLING not in causes_of(Hypothesis(a_text_model(*modes, layers=(dense,))))
    assert Cause.MEAN_POOLING in causes_of(Hypothesis(a_text_model(*modes)))
