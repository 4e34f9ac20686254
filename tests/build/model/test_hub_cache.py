"""Offline builds: which downloads count as complete, and which are refused by name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build.model.hub import ATTEMPTS
from tests.support.models.hub_client import FILES, MODEL, Fetched, HubClient, refused
from tests.support.server.hub_server import Hub, Repository


@pytest.mark.parametrize("spelling", [MODEL, "tiny-org/TINY-model"])
@pytest.mark.parametrize("revision", [None, "main"])
def test_offline_a_model_that_was_downloaded_is_found_in_any_spelling(
    hub: Hub, fetch: HubClient, spelling: str, revision: str | None
):
    online = fetch()
    hub.seen.clear()
    assert fetch(spelling, revision=revision, HF_HUB_OFFLINE="1").files == online.files
    assert hub.seen == []


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/7", "commit"])
def test_offline_a_revision_that_was_downloaded_is_found_by_its_name(hub: Hub, fetch: HubClient, revision: str):
    requested = hub.repositories[MODEL].commit if revision == "commit" else revision
    online = fetch(revision=requested)
    assert fetch(revision=requested, HF_HUB_OFFLINE="1").answer == online.answer
    assert fetch(revision=online["revision"], HF_HUB_OFFLINE="1").files == online.files


def test_offline_a_branch_is_what_it_was_when_it_was_last_downloaded(hub: Hub, fetch: HubClient):
    old = fetch(revision="v1.0")
    hub.repositories[MODEL] = Repository(FILES | {"README.md": b"new"})
    new = fetch()
    assert fetch(HF_HUB_OFFLINE="1").answer == new.answer
    assert fetch(revision="v1.0", HF_HUB_OFFLINE="1").answer == old.answer


def assert_not_there(fetched: Fetched, shown: str = MODEL) -> None:
    error, message = refused(fetched)
    assert error == "HubUnreachable"
    assert message.startswith(f"offline (HF_HUB_OFFLINE is set), and {shown} was not downloaded here before")


def test_offline_a_model_or_revision_that_was_not_downloaded_is_named(hub: Hub, fetch: HubClient):
    assert_not_there(fetch(HF_HUB_OFFLINE="1"))
    fetch(revision="v1.0")
    assert_not_there(fetch(HF_HUB_OFFLINE="1"))
    assert_not_there(fetch(revision="v2", HF_HUB_OFFLINE="1"), f"{MODEL} at v2")
    assert_not_there(fetch("tiny-org/other", HF_HUB_OFFLINE="1"), "tiny-org/other")


def test_offline_half_a_download_is_not_a_model(hub: Hub, fetch: HubClient):
    """Everything is there but the files of sentence-transformers: a bare transformer, by its looks."""
    hub.repositories[MODEL].breaks["modules.json"] = [0] * ATTEMPTS
    assert refused(fetch())[0] == "HubUnreachable"
    assert_not_there(fetch(HF_HUB_OFFLINE="1"))


def test_offline_what_another_program_fetched_is_not_a_model(hub: Hub, fetch: HubClient, tmp_path: Path):
    hub.repositories[MODEL].files = {name: FILES[name] for name in ("config.json", "model.safetensors")}
    snapshot = Path(fetch()["directory"])
    (snapshot.parent.parent / "cpu2vec" / "main.json").unlink()
    assert_not_there(fetch(HF_HUB_OFFLINE="1"))


@pytest.mark.parametrize("name", ["model.safetensors", "modules.json"])
def test_offline_a_download_of_which_a_file_went_missing_is_not_a_model(fetch: HubClient, name: str):
    (Path(fetch()["directory"]) / name).unlink()
    assert_not_there(fetch(HF_HUB_OFFLINE="1"))


def test_a_cache_without_records_is_good_enough_online(fetch: HubClient):
    first = fetch()
    records = Path(first["directory"]).parent.parent / "cpu2vec"
    shutil.rmtree(records)
    records.write_text("in the way")
    assert fetch().answer == first.answer


def test_the_hubs_own_tools_still_read_the_cache(fetch: HubClient, tmp_path: Path):
    fetch()
    program = (
        "from huggingface_hub import scan_cache_dir\n"
        "info = scan_cache_dir()\n"
        "assert not info.warnings, info.warnings\n"
        "print(*(repo.repo_id for repo in info.repos))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"HF_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [MODEL]
