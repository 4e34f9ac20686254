"""Models that ``quantize.py`` is given: one line for each that it refuses, and what the trusted ones may do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from manifest import (
    Golden,
    Source,
    SourceKind,
    from_json,
    read_manifest,
)
from tests.support.models import tiny_models
from tests.support.models.tiny_description import Dense
from tests.support.models.tiny_models import TinyModel, change, write
from tests.support.paths import ROOT
from tests.support.programs.hub_forks import HubForks
from tests.support.quantize import TINY, assert_nothing_but, message
from tests.support.server import hub_server

pytestmark = pytest.mark.slow


WITH_DENSE = TinyModel("with-dense", "bert", "bert", "BertModel", layers=(Dense(16),))
TOKEN = "hf_aVeryPrivateToken0123456789"


def test_a_directory_that_does_not_exist_is_named(quantize, tmp_path: Path):
    assert message(quantize(tmp_path / "nothing")) == f"{tmp_path}/nothing is not a directory"
    assert message(quantize("./no/such/model")) == f"{ROOT}/no/such/model is not a directory"
    assert message(quantize("no-such-model/")) == f"{ROOT}/no-such-model is not a directory"


def test_a_directory_that_holds_no_model_is_named(quantize, tmp_path: Path):
    assert message(quantize(tmp_path)) == f"{tmp_path} has neither config.json nor modules.json: not a model directory"
    write(tmp_path / "config.json", {"model_type": "bert"})
    assert message(quantize(tmp_path)) == "the model has no weights: model.safetensors is missing"


def test_a_model_that_the_hub_cannot_be_asked_for_is_named(quantize):
    assert message(quantize("no-such-org/no-such-model")).startswith(
        "offline (HF_HUB_OFFLINE is set), and no-such-org/"
    )
    gone = quantize("no-such-org/no-such-model", HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert message(gone).startswith("the hub cannot be reached for no-such-org/no-such-model")
    wrong = quantize("not a model", HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert message(wrong) == "'not a model' is neither a directory nor a model id on the hub"


def test_an_unsupported_architecture_is_named(quantize, model: Path):
    change(model / "config.json", lambda c: c.update(model_type="bart", architectures=["BartModel"]))
    assert message(quantize(model)).startswith("the architecture BartModel is not supported; supported encoders: ")


def test_code_that_a_model_brings_wants_to_be_trusted(quantize, model: Path):
    change(model / "config.json", lambda c: c.update(auto_map={"AutoModel": "modeling.Model"}))
    write(model / "modeling.py", "raise SystemExit('the code of the model ran')")
    assert "pass --trust-remote-code" in message(quantize(model))


def test_a_commit_of_code_wants_the_code_to_be_trusted(quantize, model: Path):
    said = message(quantize(model, f"--code-revision={'0' * 40}"))
    assert said.startswith(f"--code-revision {'0' * 40} needs --trust-remote-code")


def test_a_revision_of_a_directory_is_refused(quantize, model: Path, output: Path):
    said = message(quantize(model, "--revision=v2", "--output", output))
    assert said.startswith(f"--revision v2 selects a version on the hub, and {model} is on this machine")
    assert_nothing_but(output.parent)


def test_code_that_is_trusted_decides_the_vectors(quantize, model: Path, output: Path):
    change(model / "config.json", lambda c: c.update(auto_map={"AutoModel": "modeling.Model"}))
    write(
        model / "modeling.py",
        "from transformers import BertModel\n\n\n"
        "class Model(BertModel):\n"
        "    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, return_dict=True):\n"
        "        output = super().forward(input_ids, attention_mask, token_type_ids)\n"
        "        output.last_hidden_state = output.last_hidden_state.abs()\n"
        "        return output\n",
    )
    result = quantize(model, "--output", output, "--precision", "fp32", "--trust-remote-code")
    assert result.returncode == 0, result.stderr
    assert read_manifest(output).fidelity.cosine.minimum >= 1 - 1e-6
    golden = from_json(Golden, (output / "golden.json").read_text(), "golden.json")
    assert all(min(request.answer["vector"]) >= 0 for request in golden.requests)


def test_pickled_weights_are_refused(quantize, model: Path):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    said = message(quantize(model))
    assert said.startswith("the model's weights are pickled (pytorch_model.bin)")
    assert "--allow-pickle" in said


def test_pickled_weights_that_are_allowed_give_the_same_vectors(quantize, tmp_path: Path, output: Path):
    model = tiny_models.copy(WITH_DENSE, tmp_path / "model")
    assert quantize(model, "--output", f"{output}-safe", "--precision", "fp32").returncode == 0
    for path in list(model.rglob("model.safetensors")):
        torch.save(load_file(path), path.with_name("pytorch_model.bin"))
        path.unlink()
    result = quantize(model, "--output", output, "--precision", "fp32", "--allow-pickle")
    assert result.returncode == 0, result.stderr
    for name in ("model.onnx.data", "head.npz"):
        assert (output / name).read_bytes() == (Path(f"{output}-safe") / name).read_bytes()


class Malicious:
    """A pickle that makes a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("folder", ["", "2_Dense"])
def test_a_pickle_that_would_run_code_is_refused_even_where_pickles_are_allowed(
    quantize, tmp_path: Path, output: Path, folder: str
):
    model, mark = tiny_models.copy(WITH_DENSE, tmp_path / "model"), tmp_path / "the-code-ran"
    path = model / folder / "model.safetensors"
    torch.save(load_file(path) | {"more": Malicious(mark)}, path.with_name("pytorch_model.bin"))
    path.unlink()
    message(quantize(model, "--output", output, "--allow-pickle"))
    assert not mark.exists()
    assert not output.exists()


def test_a_bundle_from_the_hub_is_that_of_the_directory_but_for_its_source(
    quantize, quantize_from_hub, hub_forks: HubForks, output: Path, tmp_path: Path
):
    with hub_server.running_hub(hub_forks.port) as hub:
        repository = hub_server.Repository(hub_server.files_of(tiny_models.make(TINY)))
        hub.repositories["org/public"] = repository
        result = quantize_from_hub("org/public", "--revision", "main", "--output", output, "--precision", "fp32")
    assert result.returncode == 0, result.stderr
    local = tmp_path / "local"
    result = quantize(tiny_models.make(TINY), "--output", local, "--precision", "fp32")
    assert result.returncode == 0, result.stderr
    downloaded, expected = read_manifest(output), read_manifest(local)
    assert downloaded.source == Source(SourceKind.HUB, repository.commit, requested="main")
    shown = {"model": expected.model, "source": expected.source, "files": expected.files}
    assert dataclasses.replace(downloaded, **shown) == expected
    for name in expected.files:
        if name != "fidelity.html":  # It shows the model's name.
            assert (output / name).read_bytes() == (local / name).read_bytes(), name


def test_a_token_reaches_the_hub_and_no_file_or_line(
    quantize_from_hub, hub_forks: HubForks, output: Path, tmp_path: Path
):
    with hub_server.running_hub(hub_forks.port) as hub:
        files = hub_server.files_of(tiny_models.make(TINY))
        hub.repositories["org/private"] = hub_server.Repository(files, token=TOKEN)
        result = quantize_from_hub("org/private", "--output", output, "--precision", "fp32", HF_TOKEN=TOKEN)
    assert result.returncode == 0, result.stderr
    assert {request.token for request in hub.seen if request.host == "127.0.0.1"} == {TOKEN}
    assert TOKEN not in result.stdout + result.stderr
    for path in (*output.rglob("*"), *(tmp_path / "cache").rglob("*")):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
