"""Families: which config.json is whose, and how many positions it declares."""

from __future__ import annotations

import re
from typing import Any

import pytest

from build.errors import ModelNotFound, RemoteCodeNeeded, UnsupportedModel
from build.model.families import FAMILIES, Family, family_of, whole_number


def config(model_type: str | None, *architectures: str, **keys: Any) -> dict[str, Any]:
    return {"model_type": model_type, "architectures": list(architectures), **keys}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.architectures[0])
def test_every_architecture_of_a_row_is_that_rows(family: Family):
    for architecture in family.architectures:
        assert family_of(config(family.model_type, architecture), trust_remote_code=False) is family


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.architectures[0])
@pytest.mark.parametrize(
    "head", ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "LMHeadModel", "Encoder"]
)
def test_heads_that_are_no_encoder_are_refused_by_name(family: Family, head: str):
    prefix = re.sub(r"(Question|Context)?(Encoder)?(Model|Encoder|ForCausalLM)?$", "", family.architectures[0])
    with pytest.raises(
        UnsupportedModel, match=f"^the architecture {prefix}{head} is not supported; supported encoders"
    ):
        family_of(config(family.model_type, prefix + head), trust_remote_code=False)


@pytest.mark.parametrize(
    ("architecture", "model_type"),
    [("XLMRobertaModel", "bert"), ("BertModel", "xlm-roberta"), ("RobertaModel", "camembert")],
)
def test_an_architecture_of_another_family_is_refused(architecture: str, model_type: str):
    with pytest.raises(UnsupportedModel, match=f"the architecture {architecture} is not supported"):
        family_of(config(model_type, architecture), trust_remote_code=False)


@pytest.mark.parametrize("architectures", [None, [], ["BertModel"], ["BertForMaskedLM"], ["BertForPreTraining"]])
def test_an_encoder_is_known_by_its_type_and_not_by_a_head_that_is_left_out(architectures: Any):
    found = family_of({"model_type": "bert", "architectures": architectures}, trust_remote_code=False)
    assert found.model_type == "bert"


def test_without_a_type_the_model_is_refused():
    with pytest.raises(UnsupportedModel, match=r"^config.json names no architecture; supported encoders: BertModel, "):
        family_of(config(None), trust_remote_code=False)


def test_remote_code_is_refused_until_it_is_trusted():
    declared = config("bert", "BertModel", auto_map={"AutoModel": "modeling.Model"})
    with pytest.raises(RemoteCodeNeeded, match="pass --trust-remote-code"):
        family_of(declared, trust_remote_code=False)
    assert family_of(declared, trust_remote_code=True).model_type == "bert"


def positions(*names: str, **keys: Any) -> int | None:
    declared = config(*names, **keys)
    return family_of(declared, trust_remote_code=False).positions(declared)


@pytest.mark.parametrize("padding", [0, 1, 5])
def test_fairseqs_families_lose_positions_to_the_padding_token(padding: int):
    for names in (("roberta", "RobertaModel"), ("xlm-roberta", "XLMRobertaModel"), ("mpnet", "MPNetModel")):
        assert positions(*names, max_position_embeddings=100, pad_token_id=padding) == 100 - padding - 1
        assert positions(*names, max_position_embeddings=100) == 98


def test_other_families_have_all_positions_or_no_limit():
    assert positions("bert", "BertModel", max_position_embeddings=100, pad_token_id=0) == 100
    assert positions("nomic_bert", "NomicBertModel", n_positions=100) == 100
    assert positions("t5", "T5EncoderModel", n_positions=100) is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "config.json has no size: the model's config is incomplete"),
        ({"size": "4"}, 'config.json: size must be a whole number, not "4"'),
        ({"size": True}, "config.json: size must be a whole number, not true"),
        ({"size": 4.0}, "config.json: size must be a whole number, not 4.0"),
    ],
)
def test_a_number_that_is_missing_or_none_is_named(keys: dict[str, Any], message: str):
    with pytest.raises(ModelNotFound, match=f"^{re.escape(message)}$"):
        whole_number(keys, "size")
