"""The fields of requests for many vectors: each is read, checked, and named in errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manifest import Task
from runtime.api.embeddings.asked import Served
from runtime.api.json_body import name_of, show, whole_number
from runtime.api.openapi.schemas import ANYTHING, FLAG, STRING, Schema, array_of, either, integer, one_of
from runtime.errors import InvalidRequest, UnknownModel

Fields = dict[str, Any]

TOKEN_IDS = (
    "{name} must be a string or a list of strings, not token ids, which are those of another model's tokenizer; "
    "in LangChain, set check_embedding_ctx_length=False"
)

TASKS = {
    "query": Task.QUERY,
    "passage": Task.PASSAGE,
    "document": Task.PASSAGE,
    "search_query": Task.QUERY,
    "search_document": Task.PASSAGE,
    "retrieval.query": Task.QUERY,
    "retrieval.passage": Task.PASSAGE,
}
"""What the APIs call the two tasks. Another name is that of a prompt, if the model declares it."""


def texts_schema(served: Served, least: int = 1) -> Schema:
    """What ``read_texts`` accepts."""
    return either(STRING, list_schema(served, least))


def read_texts(fields: Fields, name: str, served: Served, least: int = 1) -> tuple[list[str], bool]:
    """The texts, and whether they are a list. Raises ``InvalidRequest`` that names an invalid one's index."""
    if name not in fields:
        raise InvalidRequest(f"{name} is missing; it must be a string or a list of strings")
    value = fields[name]
    if isinstance(value, str):
        return [value], False
    return read_list(value, name, served, least, "a string or a list of strings"), True


def list_schema(served: Served, least: int = 1) -> Schema:
    """What ``read_list`` accepts."""
    return array_of(STRING, least, served.max_texts)


def read_list(value: Any, name: str, served: Served, least: int = 1, what: str = "a list of strings") -> list[str]:
    """The texts of a list. Raises as ``read_texts``."""
    if not isinstance(value, list):
        raise InvalidRequest(f"{name} must be {what}, not {name_of(value)}")
    if not least <= len(value) <= served.max_texts:
        raise InvalidRequest(
            f"{name} must have from {least} to {served.max_texts} texts, the limit of this server (MAX_TEXTS), "
            f"not {len(value)}"
        )
    for index, text in enumerate(value):
        if type(text) is not str:
            if _is_token_ids(text):
                raise InvalidRequest(TOKEN_IDS.format(name=name))
            raise InvalidRequest(f"{name}[{index}] must be a string, not {name_of(text)}")
    return value


def model_schema(served: Served) -> Schema:
    """What ``read_model`` accepts."""
    return one_of([None, *sorted({served.model, *served.aliases})]) if served.aliases else ANYTHING


def read_model(fields: Fields, served: Served) -> None:
    """Check ``model``. Raises ``UnknownModel`` where names are checked and this is none of the model's."""
    name = fields.get("model")
    if not served.aliases or name is None or name == served.model or name in served.aliases:
        return
    names = ", ".join(sorted({served.model, *served.aliases}))
    raise UnknownModel(f"model must be one of {names}, not {show(name)}")


def read_task(fields: Fields, name: str, served: Served) -> tuple[Task | None, str | None]:
    """The task, or the name of the model's prompt, that the field chooses; nothing for a purpose without a prompt."""
    value = fields.get(name)
    if value is None or value == "":
        return None, None
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string, not {name_of(value)}")
    if value in TASKS:
        return TASKS[value], None
    return None, value if value in served.prompts else None


def read_first_task(fields: Fields, names: Sequence[str], served: Served) -> tuple[Task | None, str | None]:
    """As ``read_task``, by the first of the fields that chooses something. All are checked."""
    found = [read_task(fields, name, served) for name in names]
    return next((each for each in found if each != (None, None)), (None, None))


def read_dimensions(fields: Fields, name: str, served: Served) -> int | None:
    """How many components to keep; None: all."""
    value = fields.get(name)
    if value is None:
        return None
    number = whole_number(value)
    if number is not None and 1 <= number <= served.dim:
        return number
    raise InvalidRequest(f"{name} must be a whole number from 1 to {served.dim}, the model's dim, not {show(value)}")


def read_flag(fields: Fields, name: str) -> bool | None:
    """True, false, or None where the request does not say."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidRequest(f"{name} must be true or false, not {show(value)}")


def dimensions_schema(served: Served) -> Schema:
    """What ``read_dimensions`` accepts."""
    return integer(1, served.dim)


def normalize_schema(served: Served) -> Schema:
    """What ``check_normalize`` accepts."""
    return FLAG if served.normalizes else one_of([None, False])


def check_normalize(fields: Fields, name: str, served: Served) -> None:
    """Clients send false without being asked, which means the model's own; true must be what the model does."""
    if read_flag(fields, name) and not served.normalizes:
        raise InvalidRequest(f"{name} must be absent or false, not true: this model's vectors are not normalized")


def check_only(fields: Fields, name: str, accepted: tuple[str, ...]) -> str | None:
    """The field, which must be absent or one of ``accepted``."""
    value = fields.get(name)
    if value is None or (isinstance(value, str) and value in accepted):
        return value
    raise InvalidRequest(f"{name} must be {' or '.join(accepted)}, not {show(value)}")


def _is_token_ids(item: Any) -> bool:
    return type(item) is int or (isinstance(item, list) and all(type(each) is int for each in item))
