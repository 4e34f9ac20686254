"""Code in another repository of the hub: which commit is downloaded, recorded, and found by transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from tests.support.models.hub_client import FILES, MODEL, Fetched, HubClient, refused
from tests.support.server.hub_server import Hub, Repository

CODE = "Someone/Code"
SPELLED = "someone/code"
"""How the model's config spells the repository."""

OLD = Repository({"modeling.py": b"# old", "more.py": b"# old"}, refs=("v1",))


def newest(content: bytes = b"# new") -> Repository:
    return Repository({"modeling.py": content, "more.py": content, "weights.bin": b"large"}, older=(OLD,))


def naming(*repositories: str) -> bytes:
    """A config that takes a class from each repository."""
    auto_map = {f"Auto{number}": f"{name}--modeling.Model" for number, name in enumerate(repositories)}
    return json.dumps({"model_type": "bert", "auto_map": auto_map}).encode()


@pytest.fixture(autouse=True)
def repositories(hub: Hub) -> None:
    hub.repositories[MODEL] = Repository(FILES | {"config.json": naming(SPELLED)})
    hub.repositories[CODE] = newest()


def requested_commits(hub: Hub) -> set[str]:
    """The revisions by which files of the code were requested."""
    prefix = f"/{CODE}/resolve/"
    return {one.path.removeprefix(prefix).split("/")[0] for one in hub.seen if one.path.startswith(prefix)}


def as_transformers_finds_it(fetched: Fetched, name: str = "modeling.py") -> bytes:
    found = try_to_load_from_cache(SPELLED, name, cache_dir=fetched["code cache"])
    assert isinstance(found, str)
    return Path(found).read_bytes()


def test_the_newest_commit_is_recorded_and_found(hub: Hub, fetch: HubClient):
    fetched = fetch(with_code=True)
    assert fetched["code revision"] == hub.repositories[CODE].commit
    assert as_transformers_finds_it(fetched) == as_transformers_finds_it(fetched, "more.py") == b"# new"
    assert requested_commits(hub) == {hub.repositories[CODE].commit}
    assert "weights.bin" not in hub.downloads()


def test_the_models_own_revision_is_not_that_of_its_code(hub: Hub, fetch: HubClient):
    fetched = fetch(revision=hub.repositories[MODEL].commit, with_code=True)
    assert fetched["revision"] == hub.repositories[MODEL].commit
    assert fetched["code revision"] == hub.repositories[CODE].commit


def test_a_pinned_commit_is_found_although_there_is_a_newer_one(hub: Hub, fetch: HubClient):
    assert as_transformers_finds_it(fetch(with_code=True)) == b"# new"
    hub.seen.clear()
    pinned = fetch(with_code=True, code_revision=OLD.commit)
    assert pinned["code revision"] == OLD.commit
    assert as_transformers_finds_it(pinned) == b"# old"
    assert requested_commits(hub) == {OLD.commit}


@dataclass
class Moving(Repository):
    """Gets a new commit as soon as it has been listed."""

    hub: Hub | None = field(default=None, repr=False)

    def listing(self, model: str) -> dict:
        assert self.hub
        self.hub.repositories[model] = Repository({"modeling.py": b"# newer", "more.py": b"# newer"}, older=(self,))
        return super().listing(model)


def test_a_branch_that_moves_during_a_build_does_not_change_it(hub: Hub, fetch: HubClient):
    listed = Moving(newest().files, hub=hub)
    hub.repositories[CODE] = listed
    fetched = fetch(with_code=True)
    assert hub.repositories[CODE].commit != listed.commit == fetched["code revision"]
    assert as_transformers_finds_it(fetched) == as_transformers_finds_it(fetched, "more.py") == b"# new"


def test_an_earlier_builds_code_stays_what_it_was(hub: Hub, fetch: HubClient):
    first = fetch(with_code=True)
    hub.repositories[CODE] = newest(b"# newer")
    assert as_transformers_finds_it(fetch(with_code=True)) == b"# newer"
    assert as_transformers_finds_it(first) == b"# new"


@pytest.mark.parametrize("commit", [None, OLD.commit])
def test_offline_the_code_that_was_downloaded_is_found(hub: Hub, fetch: HubClient, commit: str | None):
    online = fetch(with_code=True, code_revision=commit)
    hub.seen.clear()
    offline = fetch(with_code=True, code_revision=commit, HF_HUB_OFFLINE="1")
    assert offline.answer == online.answer
    assert as_transformers_finds_it(offline) == (b"# old" if commit else b"# new")
    assert hub.seen == []


def test_offline_a_commit_of_code_that_was_not_downloaded_is_named(fetch: HubClient):
    fetch(with_code=True)
    error, message = refused(fetch(with_code=True, code_revision=OLD.commit, HF_HUB_OFFLINE="1"))
    assert error == "HubUnreachable"
    assert message.startswith(f"offline (HF_HUB_OFFLINE is set), and {SPELLED} at {OLD.commit} was not downloaded here")


def test_offline_code_alone_is_not_a_model(hub: Hub, fetch: HubClient):
    """A repository may hold both."""
    hub.repositories[CODE].files |= FILES
    fetch(with_code=True)
    error, message = refused(fetch(CODE, HF_HUB_OFFLINE="1"))
    assert error == "HubUnreachable"
    assert message.startswith(f"offline (HF_HUB_OFFLINE is set), and {CODE} was not downloaded here before")


def test_the_hubs_own_tools_still_read_the_cache(fetch: HubClient, tmp_path: Path):
    fetch(with_code=True)
    program = (
        "from huggingface_hub import scan_cache_dir\n"
        "info = scan_cache_dir()\n"
        "assert not info.warnings, info.warnings\n"
        "print(*sorted(repo.repo_id for repo in info.repos))"
    )
    command = [sys.executable, "-c", program]
    environment = {"HF_HOME": str(tmp_path / "cache")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [CODE, MODEL]


def test_an_unknown_commit_is_named(fetch: HubClient):
    error, message = refused(fetch(with_code=True, code_revision="0" * 40))
    assert (error, message) == ("ModelNotFound", f"the hub has no revision {'0' * 40} of {SPELLED}")


@pytest.mark.parametrize("config", [naming(), b'{"auto_map": {"AutoModel": "modeling.Model"}}'])
def test_a_commit_of_code_that_is_not_elsewhere_is_refused(hub: Hub, fetch: HubClient, config: bytes):
    hub.repositories[MODEL].files["config.json"] = config
    error, message = refused(fetch(with_code=True, code_revision=OLD.commit))
    assert error == "InvalidOption"
    assert message == (
        f"--code-revision {OLD.commit} selects code in another repository, and {MODEL} has none there: "
        "leave --code-revision out"
    )


def test_without_such_code_there_is_nothing_to_record(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL].files["config.json"] = FILES["config.json"]
    fetched = fetch(with_code=True)
    assert (fetched["code revision"], fetched["code cache"]) == (None, None)


def test_code_that_is_not_trusted_is_not_asked_for(hub: Hub, fetch: HubClient):
    fetched = fetch()
    assert (fetched["code revision"], fetched["code cache"]) == (None, None)
    assert not [one for one in hub.seen if CODE.lower() in one.path.lower()]


def test_code_in_several_repositories_is_refused_by_their_names(hub: Hub, fetch: HubClient):
    """A manifest has room for one commit."""
    hub.repositories[MODEL].files["config.json"] = naming(SPELLED, "other/code")
    error, message = refused(fetch(with_code=True))
    assert (error, message) == (
        "UnsupportedModel",
        "the model's code is in several repositories: other/code, someone/code",
    )


def test_a_repository_without_code_is_named(hub: Hub, fetch: HubClient):
    hub.repositories[CODE].files = {"README.md": b"# moved"}
    error, message = refused(fetch(with_code=True))
    assert (error, message) == ("ModelNotFound", f"{CODE} has no Python files, but the model's config wants its code")
