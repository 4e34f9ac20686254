"""The request for one text, by kind of model, as a shape's fields choose it."""

from __future__ import annotations

from dataclasses import replace

from manifest import StaticModel, Task, TextModel
from runtime.api.embeddings.asked import Choice
from runtime.errors import InvalidRequest
from runtime.static.request import StaticRequest
from runtime.text.request import EmbedRequest, default_request


def like_of(choice: Choice, model: TextModel) -> EmbedRequest:
    """The request of a text model, for an empty text. Raises ``InvalidRequest`` where the model needs a task."""
    request = default_request(model, "", choice.task, choice.prompt_name)
    if request is None:
        raise InvalidRequest("this model needs to know whether texts are queries or passages, by input_type")
    return replace(request, dimensions=choice.dimensions, refuses_long=choice.refuses_long)


def static_like_of(choice: Choice, model: StaticModel) -> StaticRequest:
    """The request of a static model, for an empty text."""
    return StaticRequest(
        text="",
        prompt=model.prompt(choice.task, choice.prompt_name),
        dimensions=choice.dimensions,
        refuses_long=choice.refuses_long,
        is_query=choice.task is Task.QUERY,
    )
