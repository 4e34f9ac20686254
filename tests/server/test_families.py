"""Every supported family, from files on disk through the real build and runtime: the original's vectors over HTTP."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from build.errors import BuildError, UnsupportedModel
from build.fidelity.runtime_process import RuntimeClient, serve
from build.model.trust import NO_TRUST, Trust
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import MANIFEST_FILE, Manifest, Precision, Target, Task, read_manifest
from tests.support.bundles.cache import cached
from tests.support.bundles.unverified import unverified
from tests.support.models import tiny_models
from tests.support.models.model_table import FAMILY_MODELS, REMOTE_CODE_MODELS, TABLE
from tests.support.models.model_table import LIMITS as OTHER_LIMITS
from tests.support.models.originals import Original, assert_same_vector, original_of
from tests.support.models.tiny_models import PROMPTS, WORD, TinyModel
from tests.support.server.server_process import embedding

INT8_COSINE = 0.999


def no_model_max_length(tokenizer_config: dict) -> None:
    del tokenizer_config["model_max_length"]


MINILM = TinyModel("minilm", "bert", "bert", "BertModel", normalize=True, max_seq_length=24, bake_limits=True)
MODELS = [
    MINILM,
    TinyModel("bge", "bert", "bert", "BertModel", "cls", normalize=True, prompts={"query": "Find this: "}),
    TinyModel("mxbai", "bert", "bert", "BertForMaskedLM", "cls", newer_form=True, prompts=PROMPTS),
    TinyModel("bert-pretraining", "bert", "bert", "BertForPreTraining", newer_form=True, dtype="float16"),
    TinyModel("window-past-positions", "bert", "bert", "BertModel", positions=40, max_seq_length=512),
    TinyModel("window-of-the-tokenizer", "bert", "bert", "BertModel", positions=80, max_seq_length=None),
    TinyModel("multilingual-minilm", "bert", "xlm-roberta", "BertModel", shard_size="20KB"),
    TinyModel(
        "multilingual-e5", "bert", "xlm-roberta", "BertModel", normalize=True, prompts=PROMPTS, default_prompt="passage"
    ),
    TinyModel(
        "multi-qa-distilbert",
        "distilbert",
        "cased distilbert",
        "DistilBertForMaskedLM",
        normalize=True,
        do_lower_case=True,
    ),
    TinyModel("distilbert-cls", "distilbert", "cased distilbert", "DistilBertModel", "cls", newer_form=True),
    TinyModel(
        "bare-distilbert",
        "distilbert",
        "cased distilbert",
        "DistilBertForMaskedLM",
        pooling=None,
        without=("tokenizer.json",),
    ),
    TinyModel("roberta", "roberta", "roberta", "RobertaModel", positions=50, max_seq_length=64, do_lower_case=True),
    TinyModel("bare-roberta", "roberta", "roberta", "RobertaForMaskedLM", pooling=None, positions=514),
    TinyModel(
        "roberta-prompts",
        "roberta",
        "roberta",
        "RobertaModel",
        "cls",
        normalize=True,
        newer_form=True,
        prompts={"query": "", "document": "walk: ", "corpus": "never: "},
        default_prompt="document",
        dtype="bfloat16",
    ),
    TinyModel("bge-m3", "xlm-roberta", "xlm-roberta", "XLMRobertaModel", "cls", normalize=True, dtype="float16"),
    TinyModel("e5", "xlm-roberta", "xlm-roberta", "XLMRobertaModel", normalize=True, newer_form=True, prompts=PROMPTS),
    TinyModel("bare-xlm-roberta", "xlm-roberta", "xlm-roberta", "XLMRobertaForMaskedLM", pooling=None, positions=66),
    TinyModel("all-mpnet", "mpnet", "mpnet", "MPNetForMaskedLM", normalize=True),
    TinyModel("mpnet-cls", "mpnet", "mpnet", "MPNetModel", "cls", positions=50, max_seq_length=512, newer_form=True),
    TinyModel("bare-mpnet", "mpnet", "mpnet", "MPNetModel", pooling=None, positions=130),
]
ALL_MODELS = list(dict.fromkeys([*MODELS, *TABLE.values(), *FAMILY_MODELS, *REMOTE_CODE_MODELS]))
BARE_POOLING = {"DPRContextEncoder": "cls", "DPRQuestionEncoder": "cls", "Qwen3ForCausalLM": "lasttoken"}
"""What pools a model without sentence-transformers' files, where it is not the mean."""

LIMITS = {
    "minilm": 24,
    "window-past-positions": 40,
    "window-of-the-tokenizer": 64,
    "bare-distilbert": 40,
    "roberta": 48,
    "bare-roberta": 512,
    "bare-xlm-roberta": 64,
    "mpnet-cls": 48,
    "bare-mpnet": 128,
    **OTHER_LIMITS,
}
"""``max_tokens`` where it is not the declared window of 48: the tokenizer's limit, positions, or two less of those."""

TEXTS = {
    "empty": "",
    "one token": WORD,
    "words": "The ferry to the island leaves at seven in the morning.",
    "unknown words": "Zyx wvut srqponm",
    "emoji": "walk 😀🚀 light 👩\u200d🔬",
    "chinese and japanese": "图書館今天几点关门か? 駅の静か喫茶店。",
    "korean, arabic, hindi": "한국어 العربية हिन्दी",
    "composed and combining marks": "\u00f1 n\u0303 e\u0301\u0308 \u0301",
    "full width and ligatures": "ｆｕｌｌ ﬁn ①",
    "nul": "river\0stone",
    "control characters": "river\x07\x1b[0m\u200b\ufeffstone\r\n\ttail",
    "white space only": " \n\t ",
    "white space around": "  \n river stone \t ",
    "unusual white space": "river\u00a0stone\u3000paper\u2028green",
    "special tokens of bert": "river [SEP] stone [CLS][PAD] [MASK] [UNK]",
    "special tokens of roberta": "river </s> stone <s><pad> <mask> <unk>.",
    "padding tokens only": "[PAD]<pad>[PAD]<pad>",
    "upper case": "RIVER STONE ÉÑ",
    "mixed case": "River stonE Éñ",
    "punctuation": "a,b;c--d...'\"(e)[f]{g}",
    "one long word": "x" * 3000,
    "far beyond the window": f"{WORD} stone paper, " * 700,
    "100 kB": "the walk under Seven lights. " * 3600,
    "100 kB without a space": "漢字" * 17_000,
}


@dataclass
class Served:
    model: TinyModel
    manifest: Manifest
    client: RuntimeClient
    original: Original

    @property
    def max_tokens(self) -> int:
        return self.manifest.section.main_encoder.max_tokens


def build(
    directory: Path,
    output: Path,
    precision: Precision = Precision.FP32,
    target: Target = Target.AMD64,
    trust: Trust = NO_TRUST,
) -> Path:
    order = BuildOptions(str(directory), None, target, precision, output, force=False, trust=trust)
    build_bundle(order, Progress(stream=io.StringIO()))
    return output


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    a, b = left.astype(np.float64), right.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope="module", params=ALL_MODELS, ids=lambda model: model.name)
def served(request, tmp_path_factory) -> Iterator[Served]:
    """The model behind the real runtime, from the real stages; verification is left to other tests."""
    model = request.param
    directory = tiny_models.make(model)
    trust = Trust(remote_code=model in REMOTE_CODE_MODELS)
    bundle = cached(f"fp32-{model.name}", lambda output: unverified(directory, output, Precision.FP32, trust))
    original = original_of(model, directory)
    with embedding(bundle, tmp_path_factory.mktemp("served") / "log") as client:
        manifest = read_manifest(bundle)
        # NOTE: where the positions are fewer than the window, the original fails on the texts between the two.
        original.max_seq_length = min(original.max_seq_length, manifest.section.main_encoder.max_tokens)
        yield Served(model, manifest, client, original)


@pytest.mark.parametrize("kind", TEXTS)
def test_the_vector_is_the_originals(served: Served, kind: str):
    assert_same_vector(served.client.embed(TEXTS[kind]), served.original.embed(TEXTS[kind], prompt=None))


def test_different_texts_have_different_vectors(served: Served):
    """Else the tests above would prove nothing."""
    vectors = [served.client.embed(text) for text in ("river", "stone paper green", TEXTS["words"])]
    assert max(cosine(a, b) for n, a in enumerate(vectors) for b in vectors[:n]) < 0.999


@pytest.mark.parametrize("surplus", [-1, 0, 1, 2, 100])
def test_the_window_ends_where_the_originals_does(served: Served, surplus: int):
    limit = LIMITS.get(served.model.name, 48)
    assert served.max_tokens == served.original.max_seq_length == limit
    prompt = served.manifest.section.prompts.get(served.manifest.section.default_prompt or "", "")
    others = len(served.original.tokenizer(prompt + WORD)["input_ids"]) - 1
    text = " ".join([WORD] * (limit + surplus - others - 1) + ["stone"])
    assert len(served.original.tokenizer(prompt + text)["input_ids"]) == limit + surplus
    assert_same_vector(served.client.embed(text), served.original.embed(text, prompt=None))


@pytest.mark.parametrize("text", ["", "the island", f"{WORD} stone " * 100])
@pytest.mark.parametrize(("task", "names"), [(Task.QUERY, ("query",)), (Task.PASSAGE, ("document", "passage"))])
def test_a_task_gives_the_models_prompt_for_it_or_no_prompt(served: Served, task: Task, names: tuple, text: str):
    declared = next((name for name in names if served.model.prompts.get(name)), None)
    prompt = served.model.prompts[declared] if declared else ""
    assert_same_vector(served.client.embed(text, task), served.original.embed(text, prompt=prompt))


def test_each_prompt_can_be_asked_for_by_its_name(served: Served):
    for name, prompt in served.model.prompts.items():
        vector = served.client.embed("the island", prompt_name=name)
        assert_same_vector(vector, served.original.embed("the island", prompt=prompt))


def test_what_the_manifest_says_is_what_the_files_declare(served: Served):
    text, model = served.manifest.section, served.model
    encoder = text.main_encoder
    declared = model.pooling or BARE_POOLING.get(model.architecture, "mean")
    assert encoder.architecture == model.family
    assert (encoder.pooling.modes, encoder.normalizes) == ((declared,), model.normalize)
    assert (text.prompts, text.default_prompt) == (model.prompts, model.default_prompt)
    assert text.dim == len(served.original.embed(WORD))


VERIFIED = [
    "minilm",
    "roberta-prompts",
    "gtr-t5-base",
    "dpr-question-projected",
    "qwen3-embedding",
    "embeddinggemma",
    "bert-without-special-tokens",
]


@pytest.mark.parametrize("name", VERIFIED)
def test_verification_finds_no_difference_in_fp32(tmp_path: Path, name: str):
    model = next(model for model in ALL_MODELS if model.name == name)
    bundle = build(tiny_models.make(model), tmp_path / "bundle")
    fidelity = read_manifest(bundle).fidelity
    assert fidelity is not None
    assert fidelity.cosine.minimum >= 1 - 1e-6
    with serve(bundle) as client:
        assert len(client.embed("ready, so all golden texts came out right")) == read_manifest(bundle).section.dim


def test_without_a_limit_of_the_tokenizer_the_positions_decide(tmp_path: Path):
    """A table of 514 positions, of which fairseq's habit leaves 512."""
    directory = tiny_models.copy(next(model for model in MODELS if model.name == "bare-roberta"), tmp_path / "model")
    tiny_models.change(directory / "tokenizer_config.json", no_model_max_length)
    bundle = build(directory, tmp_path / "bundle")
    assert read_manifest(bundle).section.main_encoder.max_tokens == 512
    original = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    original.max_seq_length = 512
    with serve(bundle) as client:
        for words in (510, 511, 2000):
            text = " ".join([WORD] * words)
            assert_same_vector(client.embed(text), original.encode([text])[0])


@pytest.fixture(scope="module", params=list(Target))
def int8_bundle(request, tmp_path_factory) -> Path:
    directory = tiny_models.make(MINILM)
    return build(directory, tmp_path_factory.mktemp("int8") / request.param, Precision.INT8, request.param)


def test_int8_is_close_to_the_original(int8_bundle: Path):
    original = SentenceTransformer(str(tiny_models.make(MINILM)), device="cpu", local_files_only=True)
    texts = [text for text in TEXTS.values() if text.strip()]
    with serve(int8_bundle) as client:
        cosines = [cosine(client.embed(text), original.encode([text])[0]) for text in texts]
    assert min(cosines) > INT8_COSINE


def test_int8_is_smaller_and_says_so(int8_bundle: Path):
    manifest = read_manifest(int8_bundle)
    assert (manifest.precision, manifest.target) == (Precision.INT8, int8_bundle.name)
    assert manifest.fidelity is not None
    assert INT8_COSINE < manifest.fidelity.cosine.mean < 1


def test_both_targets_get_the_same_files(tmp_path: Path):
    """onnxruntime's signed weights suit both; what a CPU cannot multiply exactly is decided where it is served."""
    model = MODELS[1]
    manifests = [
        read_manifest(build(tiny_models.make(model), tmp_path / target, Precision.INT8, target)) for target in Target
    ]
    assert manifests[0].files == manifests[1].files
    assert manifests[0] == dataclasses.replace(manifests[1], target=manifests[0].target)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str):
    directory = tiny_models.copy(MINILM, tmp_path / "model")
    path = directory / name
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BuildError):
        build(directory, tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize(
    "values", [{"hidden_act": "none such"}, {"num_attention_heads": 3}, {"hidden_size": 64}, {"vocab_size": 5}]
)
def test_a_config_that_does_not_fit_its_weights_is_refused(tmp_path: Path, values: dict):
    directory = tiny_models.copy(MINILM, tmp_path / "model")
    tiny_models.change(directory / "config.json", lambda config: config.update(values))
    with pytest.raises(UnsupportedModel, match="transformers cannot load the model"):
        build(directory, tmp_path / "bundle")


def test_a_tokenizer_that_nobody_knows_is_refused(tmp_path: Path):
    directory = tiny_models.copy(MINILM, tmp_path / "model")
    tiny_models.change(directory / "tokenizer.json", lambda tokenizer: tokenizer["model"].update(type="NoSuchModel"))
    with pytest.raises(UnsupportedModel, match="sentence-transformers cannot load the model"):
        build(directory, tmp_path / "bundle")


def test_a_tokenizer_that_cuts_texts_at_their_start_is_refused(tmp_path: Path):
    directory = tiny_models.copy(MINILM, tmp_path / "model")
    tiny_models.change(directory / "tokenizer_config.json", lambda config: config.update(truncation_side="left"))
    with pytest.raises(UnsupportedModel, match="truncation_side must be right, not left"):
        build(directory, tmp_path / "bundle")


def test_a_tokenizer_that_pads_at_the_start_gives_the_vectors_of_texts_alone(tmp_path: Path):
    directory = tiny_models.copy(MINILM, tmp_path / "model")
    tiny_models.change(directory / "tokenizer_config.json", lambda config: config.update(padding_side="left"))
    fidelity = read_manifest(build(directory, tmp_path / "bundle")).fidelity
    assert fidelity is not None
    assert fidelity.cosine.minimum >= 1 - 1e-6


def test_a_shard_that_is_missing_is_refused(tmp_path: Path):
    directory = tiny_models.copy(
        next(model for model in MODELS if model.name == "multilingual-minilm"), tmp_path / "model"
    )
    sorted(directory.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(UnsupportedModel, match="model-00002-of"):
        build(directory, tmp_path / "bundle")


def test_weights_without_an_encoders_tensor_are_refused_by_its_name(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    directory = tiny_models.copy(MINILM, tmp_path / "model")
    weights = load_file(directory / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"the weights lack encoder.layer.1.output.dense.weight"):
        build(directory, tmp_path / "bundle")
    assert not (tmp_path / "bundle" / MANIFEST_FILE).exists()


def test_a_pooler_that_the_weights_lack_changes_nothing(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    directory = tiny_models.copy(MINILM, tmp_path / "model")
    weights = load_file(directory / "model.safetensors")
    del weights["pooler.dense.weight"], weights["pooler.dense.bias"]
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    with serve(build(directory, tmp_path / "bundle")) as client:
        original = SentenceTransformer(str(tiny_models.make(MINILM)), device="cpu", local_files_only=True)
        assert_same_vector(client.embed(WORD), original.encode([WORD])[0])
