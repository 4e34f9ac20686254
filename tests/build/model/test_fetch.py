"""What MODEL can mean on this machine, and what is refused by a sentence that says what it is instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from build.errors import InvalidOption, ModelNotFound, UnsupportedModel
from build.model.default_model import MODEL
from build.model.fetch import code_repositories, fetch, is_path
from build.model.trust import NO_TRUST, Trust
from manifest import MANIFEST_FILE, SourceKind
from tests.support.json_files import write
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel

BERT = TinyModel("fetched", "bert", "bert", "BertModel")


def refused(model: str) -> str:
    with pytest.raises(ModelNotFound) as caught:
        fetch(model, None, NO_TRUST)
    return str(caught.value)


def test_a_directory_is_used_as_it_is():
    directory = tiny_models.make(BERT)
    files = fetch(str(directory), None, NO_TRUST)
    assert (files.model, files.directory, files.source.kind) == (BERT.name, directory, SourceKind.DIRECTORY)


def test_files_that_are_not_the_models_are_never_read(tmp_path: Path):
    directory = tmp_path / "linked"
    shutil.copytree(tiny_models.make(BERT), directory)
    (tmp_path / "credentials").write_text("[default]")
    (directory / "vocab.txt").unlink(missing_ok=True)
    (directory / "vocab.txt").symlink_to(tmp_path / "credentials")
    with pytest.raises(UnsupportedModel, match="vocab.txt is a link that leads out of the model's directory"):
        fetch(str(directory), None, NO_TRUST)


def test_shards_that_are_not_the_models_are_never_read(tmp_path: Path):
    directory = tmp_path / "sharded"
    shutil.copytree(tiny_models.make(BERT), directory)
    write(directory / "model.safetensors.index.json", {"weight_map": {"a": "../other/model.safetensors"}})
    with pytest.raises(UnsupportedModel, match="must name shards beside it"):
        fetch(str(directory), None, NO_TRUST)


def test_a_directory_has_no_revision_but_its_content():
    files = fetch(str(tiny_models.make(BERT)), None, NO_TRUST)
    assert files.source.revision.startswith("sha256:")
    assert files.requested_revision is None


def test_a_revision_of_a_directory_is_refused():
    directory = str(tiny_models.make(BERT))
    with pytest.raises(InvalidOption) as caught:
        fetch(directory, "v2", NO_TRUST)
    assert str(caught.value) == (
        f"--revision v2 selects a version on the hub, and {directory} is on this machine: leave --revision out"
    )


def test_a_commit_of_code_that_a_directory_does_not_take_from_elsewhere_is_refused():
    directory = tiny_models.make(BERT)
    with pytest.raises(InvalidOption) as caught:
        fetch(str(directory), None, Trust(remote_code=True, code_revision="c0ffee"))
    assert str(caught.value) == (
        f"--code-revision c0ffee selects code in another repository, and {directory.name} has none there: "
        "leave --code-revision out"
    )


def test_the_default_model_comes_from_its_package():
    files = fetch(MODEL.upper(), None, NO_TRUST)
    assert (files.model, files.source.kind, files.requested_revision) == (MODEL, SourceKind.PACKAGE, None)


@pytest.mark.parametrize("model", ["README.md", "./README.md", "below/model.safetensors"])
def test_a_file_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / model).write_text("# Model\n")
    assert refused(model) == f"{model} is a file: pass the model's directory, or a model id on the hub"


@pytest.mark.parametrize("manifest", [{"schema": 4, "files": {}, "kind": "text"}, {"schema": 99, "files": []}])
def test_a_bundle_is_named_as_such(tmp_path: Path, manifest: dict[str, Any]):
    bundle = tmp_path / "my bundle"
    write(bundle / MANIFEST_FILE, manifest)
    write(bundle / "config.json", {"model_type": "bert"})
    assert refused(str(bundle)) == f"{bundle} is a bundle, not a model: make serve BUNDLE='{bundle}' serves it"


@pytest.mark.parametrize("content", ["", "[]", '{"name": "web app"}', '{"schema": "4", "files": {}}', "[" * 100_000])
def test_another_programs_manifest_makes_no_bundle(tmp_path: Path, content: str):
    directory = tiny_models.copy(BERT, tmp_path / "model")
    (directory / MANIFEST_FILE).write_text(content)
    assert fetch(str(directory), None, NO_TRUST).model == "model"


def test_a_directory_that_holds_no_model_is_named(tmp_path: Path):
    assert refused(f"{tmp_path}/") == f"{tmp_path} has neither config.json nor modules.json: not a model directory"
    assert refused(f"{tmp_path}/none") == f"{tmp_path}/none is not a directory"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("org/model", False),
        ("model", False),
        ("./model", True),
        ("../model", True),
        ("/model", True),
        ("~/model", True),
        ("model/", True),
        ("here", True),
        ("here/README.md", True),
    ],
)
def test_a_path_is_what_exists_or_is_spelled_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, path: bool
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "README.md").touch()
    assert is_path(model) is path


@pytest.mark.parametrize(
    ("auto_map", "repositories"),
    [
        (None, []),
        ("someone/code--module.Class", []),
        ({"AutoModel": "module.Class"}, []),
        ({"AutoModel": "someone/code--module.Class", "AutoConfig": "someone/code--module.Config"}, ["someone/code"]),
        ({"AutoModel": "b/code--module.Class", "AutoConfig": "a/code--module.Config", "x": None}, ["a/code", "b/code"]),
    ],
)
def test_the_repositories_of_code_are_those_that_the_config_names(
    tmp_path: Path, auto_map: Any, repositories: list[str]
):
    assert code_repositories(tmp_path) == []
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": auto_map}))
    assert code_repositories(tmp_path) == repositories


@pytest.mark.parametrize("name", ["tokenizer_config.json", "query_0_Transformer/config.json"])
@pytest.mark.parametrize("value", ["a/code--module.Class", [None, "a/code--module.Class"], ["a/code--x.Y", None]])
def test_configs_of_tokenizers_and_modules_can_name_repositories_of_code(tmp_path: Path, name: str, value: Any):
    write(tmp_path / "config.json", {"auto_map": {"AutoConfig": "module.Class"}})
    write(tmp_path / name, {"auto_map": {"AutoTokenizer": value}})
    write(tmp_path / "onnx" / "config.json", {"auto_map": {"AutoModel": "not/read--module.Class"}})
    assert code_repositories(tmp_path) == ["a/code"]
