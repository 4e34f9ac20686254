"""The hub: the real client against a hub on this machine, each case in a process of its own, as a user's would be."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from pathlib import Path

import pytest

from build.model.hub import ATTEMPTS
from tests.support.models.hub_client import FILES, MODEL, UNWANTED, HubClient, on_disk, refused
from tests.support.server.hub_server import Hub, Repository

TOKEN = "hf_aVeryPrivateToken0123456789"
CHUNK = 10 * 1024 * 1024
"""The client writes what arrives in chunks of this many bytes. A broken connection loses the current chunk."""


def test_only_the_files_that_a_build_reads_are_downloaded(hub: Hub, fetch: HubClient):
    fetched = fetch()
    assert on_disk(fetched) == FILES
    assert sorted(hub.downloads()) == sorted(FILES)
    assert (fetched["model"], fetched["kind"]) == (MODEL, "hub")
    assert fetched.stderr == ""


def test_the_client_warns_again_after_the_download(fetch: HubClient):
    """Its warnings of retries are kept off the terminal, and nothing else of it is changed."""
    assert fetch()["log level"] == logging.WARNING


def test_code_is_downloaded_once_it_is_trusted(hub: Hub, fetch: HubClient):
    assert set(fetch(with_code=True)["names"]) - set(FILES) == {"train_script.py", "modeling.py"}


def test_a_second_run_downloads_nothing(hub: Hub, fetch: HubClient):
    first = fetch()
    hub.seen.clear()
    assert fetch().answer == first.answer
    assert [request.path for request in hub.seen] == [f"/api/models/{MODEL}/revision/main"]


@pytest.mark.parametrize("spelling", ["tiny-org/tiny-model", "TINY-ORG/TINY-MODEL"])
def test_another_spelling_is_the_same_model_under_the_hubs_name(hub: Hub, fetch: HubClient, spelling: str):
    canonical = fetch()
    hub.seen.clear()
    assert fetch(spelling).answer == canonical.answer
    assert hub.downloads() == []


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "commit"])
def test_the_revision_that_was_asked_for_is_kept_beside_the_commit(hub: Hub, fetch: HubClient, revision: str | None):
    requested = hub.repositories[MODEL].commit if revision == "commit" else revision
    for offline in ("0", "1"):
        fetched = fetch(revision=requested, HF_HUB_OFFLINE=offline)
        assert (fetched["requested"], fetched["revision"]) == (requested, hub.repositories[MODEL].commit)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "refs/pr/7"])
def test_a_branch_or_tag_becomes_the_commit_it_names(hub: Hub, fetch: HubClient, revision: str | None):
    commit = hub.repositories[MODEL].commit
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert fetch(revision=revision)["revision"] == commit
    assert fetch(revision=commit)["revision"] == commit
    assert all(commit in request.path for request in hub.seen if "/api/" not in request.path)


def test_a_branch_that_moved_is_followed(hub: Hub, fetch: HubClient):
    old = fetch()
    hub.repositories[MODEL] = Repository(FILES | {"README.md": b"new"})
    hub.seen.clear()
    new = fetch()
    assert new["revision"] == hub.repositories[MODEL].commit != old["revision"]
    assert on_disk(new)["README.md"] == b"new"
    assert hub.downloads() == ["README.md"]


def test_the_default_model_with_a_revision_comes_from_the_hub(hub: Hub, fetch: HubClient):
    hub.repositories["sentence-transformers/all-MiniLM-L6-v2"] = Repository(FILES)
    fetched = fetch("sentence-transformers/all-minilm-l6-v2", revision="main")
    assert (fetched["model"], fetched["kind"]) == ("sentence-transformers/all-MiniLM-L6-v2", "hub")


def test_an_unknown_revision_is_named(fetch: HubClient):
    error, message = refused(fetch(revision="v9"))
    assert error == "ModelNotFound"
    assert message == f"the hub has no revision v9 of {MODEL}"


@pytest.mark.parametrize("environment", [{}, {"HF_TOKEN": TOKEN}])
def test_a_model_that_does_not_exist_or_is_private_is_named(hub: Hub, fetch: HubClient, environment: dict[str, str]):
    error, message = refused(fetch("tiny-org/no-such-model", **environment))
    assert error == "ModelNotFound"
    assert message.startswith("the hub has no model tiny-org/no-such-model, or it is private")
    assert "HF_TOKEN" in message


@pytest.mark.parametrize("model", ["no spaces allowed", "a/b/c", "--model", "name.", "x" * 200])
def test_what_cannot_be_a_models_id_is_named(hub: Hub, fetch: HubClient, model: str):
    error, message = refused(fetch(model))
    assert error == "ModelNotFound"
    assert message == f"{model!r} is neither a directory nor a model id on the hub"
    assert hub.seen == []


def test_a_private_model_wants_the_token_and_gets_it_on_the_hub_alone(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL].token = TOKEN
    assert refused(fetch())[0] == "ModelNotFound"
    assert refused(fetch(HF_TOKEN="hf_wrong"))[0] == "ModelNotFound"
    hub.seen.clear()
    assert on_disk(fetch(HF_TOKEN=TOKEN)) == FILES
    assert {request.token for request in hub.seen if request.host == "127.0.0.1"} == {TOKEN}
    storage = [request for request in hub.seen if request.host == "localhost"]
    assert [(request.method, request.token) for request in storage] == [("GET", None)]


@pytest.mark.parametrize("environment", [{}, {"HF_TOKEN": "hf_without_access"}])
def test_a_gated_model_says_how_to_pass_a_token(hub: Hub, fetch: HubClient, environment: dict[str, str]):
    hub.repositories[MODEL].token, hub.repositories[MODEL].gated = TOKEN, True
    error, message = refused(fetch(**environment))
    assert error == "AccessDenied"
    assert message == f"{MODEL} is gated: accept its terms on the hub, and pass a token in HF_TOKEN"
    assert on_disk(fetch(HF_TOKEN=TOKEN)) == FILES


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (403, "AccessDenied", f"the hub denies access to {MODEL} (403)"),
        (401, "ModelNotFound", f"the hub has no model {MODEL}, or it is private"),
        (404, "ModelNotFound", f"the hub has no model {MODEL}, or it is private"),
        (418, "HubUnreachable", f"the hub answered 418 for {MODEL}: try again later"),
        (500, "HubUnreachable", f"the hub answered 500 for {MODEL}: try again later"),
    ],
)
def test_other_answers_are_reported_by_their_status(hub: Hub, fetch: HubClient, status: int, error: str, expected: str):
    hub.status = status
    found, message = refused(fetch())
    assert found == error
    assert message.startswith(expected)


def test_a_token_that_the_hub_rejects_is_not_taken_for_an_unknown_model(hub: Hub, fetch: HubClient):
    hub.status = 401
    error, message = refused(fetch(HF_TOKEN=TOKEN))
    assert error == "AccessDenied"
    assert message == f"the hub rejects the token for {MODEL} (401): pass a valid one in HF_TOKEN"


def test_a_file_that_is_denied_is_reported_by_its_status(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL].denied = 403
    error, message = refused(fetch())
    assert error == "AccessDenied"
    assert message.startswith(f"the hub denies access to {MODEL} (403)")
    hub.repositories[MODEL].denied = 404
    error, message = refused(fetch())
    assert (error, message) == (
        "DamagedDownload",
        f"a file of {MODEL} disappeared from the hub during the download: try again",
    )


def test_a_download_whose_connection_breaks_continues_where_it_broke(hub: Hub, fetch: HubClient):
    content = os.urandom(CHUNK) * 2 + b"the end"
    hub.repositories[MODEL].files = FILES | {"model.safetensors": content}
    hub.repositories[MODEL].breaks["model.safetensors"] = [CHUNK + 1000, 500]
    assert on_disk(fetch())["model.safetensors"] == content
    ranges = [request.range for request in hub.seen if request.method == "GET" and request.host == "localhost"]
    assert ranges == [None, f"bytes={CHUNK}-", f"bytes={CHUNK}-"]


def test_a_connection_that_always_breaks_is_reported_and_the_next_run_continues(hub: Hub, fetch: HubClient):
    content = os.urandom(CHUNK) * 2
    hub.repositories[MODEL].files = FILES | {"model.safetensors": content}
    hub.repositories[MODEL].breaks["model.safetensors"] = [CHUNK + 1000] + [10] * (ATTEMPTS - 1)
    error, message = refused(fetch())
    assert error == "HubUnreachable"
    assert message.startswith(f"the hub cannot be reached for {MODEL}")
    hub.seen.clear()
    assert on_disk(fetch())["model.safetensors"] == content
    assert [request.range for request in hub.seen if request.host == "localhost"] == [f"bytes={CHUNK}-"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_is_not_what_the_hub_states_is_refused_and_downloaded_again(hub: Hub, fetch: HubClient, name: str):
    hub.repositories[MODEL].served[name] = FILES[name][:-1] + b"?"
    error, message = refused(fetch())
    assert error == "DamagedDownload"
    assert message == f"{name} does not have the hash that the hub reports: try again"
    hub.repositories[MODEL].served.clear()
    hub.seen.clear()
    assert on_disk(fetch()) == FILES
    assert name in hub.downloads()


@pytest.mark.parametrize("content", [FILES["model.safetensors"][:-9], FILES["model.safetensors"] + b"more"])
def test_a_file_of_another_size_is_refused_and_downloaded_again(hub: Hub, fetch: HubClient, content: bytes):
    hub.repositories[MODEL].served["model.safetensors"] = content
    error, message = refused(fetch())
    assert error == "DamagedDownload"
    assert message == "model.safetensors does not have the size that the hub reports: try again"
    hub.repositories[MODEL].served.clear()
    assert on_disk(fetch()) == FILES


def test_a_file_that_was_damaged_on_this_disk_is_found_and_downloaded_again(fetch: HubClient):
    path = Path(fetch()["directory"]) / "model.safetensors"
    path.write_bytes(b"x" * len(FILES["model.safetensors"]))
    assert refused(fetch())[0] == "DamagedDownload"
    assert on_disk(fetch()) == FILES


def test_without_a_server_the_message_says_what_can_be_done(fetch: HubClient):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error, message = refused(fetch(HF_ENDPOINT=f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert error == "HubUnreachable"
    assert message == (
        f"the hub cannot be reached for {MODEL}: check the network, or pass a local directory; outside a Docker build, "
        "HF_HUB_OFFLINE=1 uses an earlier download"
    )


def test_a_server_that_never_answers_is_given_up(fetch: HubClient):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error, _ = refused(fetch(HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}", HF_HUB_ETAG_TIMEOUT="1"))
    assert error == "HubUnreachable"


@pytest.mark.parametrize("endpoint", ["not a url", "http://"])
def test_an_endpoint_that_is_no_address_is_a_hub_that_cannot_be_reached(fetch: HubClient, endpoint: str):
    assert refused(fetch(HF_ENDPOINT=endpoint))[0] == "HubUnreachable"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"model.safetensors": None, "pytorch_model.bin": b"p"}, "the model's weights are pickled (pytorch_model.bin)"),
        (
            {"model.safetensors": None, "pytorch_model.bin": None, "pytorch_model-00001-of-00002.bin": b"p"},
            "the model's weights are pickled",
        ),
        (
            {"model.safetensors": None, "pytorch_model.bin": None},
            "the model has no weights: model.safetensors is missing",
        ),
    ],
)
def test_a_model_without_safe_weights_is_refused_before_any_download(
    hub: Hub, fetch: HubClient, files: dict, expected: str
):
    merged = FILES | UNWANTED | files
    hub.repositories[MODEL].files = {name: data for name, data in merged.items() if data is not None}
    error, message = refused(fetch())
    assert error == "UnsupportedModel"
    assert message.startswith(expected)
    assert hub.downloads() == []


def test_a_download_that_does_not_fit_is_refused_before_it_begins(hub: Hub, fetch: HubClient, tmp_path: Path):
    hub.repositories[MODEL].stated = {"model.safetensors": 10**15}
    error, message = refused(fetch())
    assert error == "OutOfDisk"
    assert message.startswith(f"{MODEL} needs 1000000.0 GB of disk for its download, and ")
    assert message.endswith("make room, or set HF_HOME to another directory")
    assert hub.downloads() == []


class WithoutCommit(Repository):
    """As a mirror may have it."""

    def listing(self, model: str) -> dict:
        return super().listing(model) | {"sha": None}


def test_a_listing_without_a_commit_is_refused(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL] = WithoutCommit(FILES)
    expected = f"the hub did not say which commit {MODEL} is: try again later"
    assert refused(fetch()) == ("HubUnreachable", expected)
    assert hub.downloads() == []


def test_a_model_without_a_config_is_refused(hub: Hub, fetch: HubClient):
    for name in ("config.json", "modules.json"):
        del hub.repositories[MODEL].files[name]
    error, message = refused(fetch())
    expected = f"{MODEL} has neither config.json nor modules.json: not a model for transformers"
    assert (error, message) == ("ModelNotFound", expected)


def test_a_checkpoint_of_open_clip_is_refused_before_any_download(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL] = Repository({"open_clip_config.json": b"{}", "open_clip_pytorch_model.bin": b"weights"})
    error, message = refused(fetch())
    assert error == "UnsupportedModel"
    assert message.startswith(f"{MODEL} is in open_clip's format: take a repository that has the same model")
    assert hub.downloads() == []


ROUTED = {
    "modules.json": b"[]",
    "router_config.json": b"{}",
    "query_0_Transformer/config.json": b"{}",
    "query_0_Transformer/model.safetensors": b"query",
    "query_0_Transformer/tokenizer.json": b"{}",
    "document_0_Transformer/config.json": b"{}",
    "document_0_Transformer/model.safetensors": b"document",
    "2_Router/query_0_Dense/model.safetensors": b"dense",
}


def test_transformers_in_folders_of_their_own_are_downloaded(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL].files = {**ROUTED, **UNWANTED, "onnx/model.safetensors": b"o", "a/b/c/config.json": b"{}"}
    assert on_disk(fetch()) == ROUTED


PICKLES = {"pytorch_model.bin": b"p", "2_Dense/pytorch_model.bin": b"d"}


def test_pickled_weights_are_downloaded_once_they_are_allowed(hub: Hub, fetch: HubClient):
    plain = {name: data for name, data in FILES.items() if not name.endswith("model.safetensors")}
    hub.repositories[MODEL].files = plain | PICKLES | {"tf_model.h5": b"t"}
    assert on_disk(fetch(with_pickle=True)) == plain | PICKLES


def test_a_module_whose_weights_are_pickled_alone_is_named(hub: Hub, fetch: HubClient):
    hub.repositories[MODEL].files = FILES | PICKLES
    assert "weights are pickled (2_Dense/pytorch_model.bin)" in refused(fetch())[1]


def test_shards_and_their_index_are_downloaded(hub: Hub, fetch: HubClient):
    shards = {f"model-0000{n}-of-00002.safetensors": b"shard %d" % n for n in (1, 2)}
    sharded = {name: data for name, data in FILES.items() if name != "model.safetensors"}
    index = {"weight_map": {f"tensor {n}": shard for n, shard in enumerate(shards)}}
    sharded |= shards | {"model.safetensors.index.json": json.dumps(index).encode()}
    hub.repositories[MODEL].files = sharded | UNWANTED
    assert on_disk(fetch()) == sharded
