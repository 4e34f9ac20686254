"""What the download before the export stage copies out of the builder's cache, and what it then needs no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.model.hub_cache import Records, recall
from tests.support.paths import ROOT
from tests.support.server import hub_server
from tests.support.server.hub_server import Hub, Repository

MODEL = "Tiny-Org/Tiny-Model"
CODE = "someone/code"
TOKEN = "hf_aVeryPrivateToken0123456789"
FILES = {
    "config.json": b'{"model_type": "bert", "auto_map": {"AutoModel": "someone/code--modeling.Model"}}',
    "model.safetensors": b"weights",
    "modules.json": b"[]",
}
PROGRAM = """
import os, sys
from pathlib import Path
from build.image.download_model import main
sys.exit(main(os.environ, Path(sys.argv[1])))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server.running_hub() as hub:
        hub.repositories[MODEL] = Repository(FILES, token=TOKEN)
        hub.repositories[CODE] = Repository({"modeling.py": b"# code"})
        yield hub


def download(hub: Hub, home: Path, model: str = MODEL, **arguments: str) -> subprocess.CompletedProcess[str]:
    token = home / "token"
    token.write_text(TOKEN)
    environment = {"PATH": os.defpath, "HF_HOME": str(home / "mounted"), "HF_ENDPOINT": hub.endpoint}
    environment |= {"HF_TOKEN_PATH": str(token), "MODEL": model, **arguments}
    command = [sys.executable, "-c", PROGRAM, str(home / "hub")]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_copy_has_the_model_and_its_code_without_links(hub: Hub, tmp_path: Path):
    ran = download(hub, tmp_path, model=MODEL.lower(), TRUST_REMOTE_CODE="1")
    assert ran.returncode == 0, ran.stderr
    copy = tmp_path / "hub"
    model = recall(Records.MODEL, copy, MODEL.lower(), "main")
    code = recall(Records.CODE, copy, CODE, "main")
    assert model is not None
    assert code is not None
    assert (model.repository, model.commit) == (MODEL, hub.repositories[MODEL].commit)
    assert hub_server.files_of(model.directory) == FILES
    assert hub_server.files_of(code.directory) == {"modeling.py": b"# code"}
    assert not [path for path in copy.rglob("*") if path.is_symlink()]
    assert TOKEN not in ran.stdout + ran.stderr


def test_a_revision_is_found_by_its_name(hub: Hub, tmp_path: Path):
    hub.repositories[MODEL] = Repository(FILES | {"README.md": b"new"}, older=(Repository(FILES, refs=("v1",)),))
    assert download(hub, tmp_path, REVISION="v1").returncode == 0
    assert recall(Records.MODEL, tmp_path / "hub", MODEL, "main") is None
    found = recall(Records.MODEL, tmp_path / "hub", MODEL, "v1")
    assert found is not None
    assert hub_server.files_of(found.directory) == FILES


def test_a_pair_of_models_is_copied_each_at_its_revision(hub: Hub, tmp_path: Path):
    hub.repositories["org/images"] = Repository(FILES | {"README.md": b"new"}, older=(Repository(FILES, refs=("v1",)),))
    assert download(hub, tmp_path, IMAGE_MODEL="org/images", IMAGE_REVISION="v1").returncode == 0
    texts, images = (
        recall(Records.MODEL, tmp_path / "hub", model, revision)
        for model, revision in ((MODEL, "main"), ("org/images", "v1"))
    )
    assert texts is not None
    assert images is not None
    assert hub_server.files_of(images.directory) == FILES


def test_code_of_a_model_for_images_is_not_downloaded(hub: Hub, tmp_path: Path):
    hub.repositories["org/texts"] = Repository({"config.json": b"{}", "model.safetensors": b"weights"})
    hub.repositories["org/images"] = Repository(FILES)
    ran = download(hub, tmp_path, "org/texts", IMAGE_MODEL="org/images", TRUST_REMOTE_CODE="1")
    assert ran.returncode == 0, ran.stderr
    assert not [request for request in hub.seen if CODE in request.path]


def test_without_trust_no_code_is_downloaded(hub: Hub, tmp_path: Path):
    assert download(hub, tmp_path).returncode == 0
    assert not [request for request in hub.seen if CODE in request.path]


def test_a_model_in_a_directory_has_its_code_alone_to_download(hub: Hub, tmp_path: Path):
    model = tmp_path / "model"
    model.mkdir()
    for name, content in FILES.items():
        (model / name).write_bytes(content)
    assert download(hub, tmp_path, model=str(model), TRUST_REMOTE_CODE="1").returncode == 0
    assert [path.name for path in (tmp_path / "hub").iterdir()] == ["models--someone--code"]


def test_a_failure_is_one_line_and_copies_nothing(hub: Hub, tmp_path: Path):
    ran = download(hub, tmp_path, model="no/model")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("quantize.py: ")
    assert not (tmp_path / "hub").exists()


def test_a_wrong_switch_is_one_line(hub: Hub, tmp_path: Path):
    ran = download(hub, tmp_path, TRUST_REMOTE_CODE="maybe")
    assert (ran.returncode, ran.stderr.count("\n"), hub.seen) == (1, 1, [])
    assert ran.stderr.startswith("quantize.py: TRUST_REMOTE_CODE must be ")
