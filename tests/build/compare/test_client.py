"""How the old container is reached: its address, its token, and hints for what it answers."""

from __future__ import annotations

from contextlib import closing

import pytest

from build.compare.client import Container, Role, connect, parse_address
from build.errors import ContainerRefused, ContainerUnreachable, InvalidOption
from tests.support.server.stub_container import always, serving, vector_of

TOKEN = "aVeryPrivateToken0123456789"


@pytest.mark.parametrize("token", [TOKEN, f" {TOKEN}\n"])
def test_a_token_is_sent(token: str):
    with serving(always(200, vector_of(1))) as (address, seen), closing(connect(Container(address, token))) as client:
        client.embed({"text": "text"})
        assert seen.headers[0]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", [None, "", " "])
def test_without_a_token_none_is_sent(token: str | None):
    with serving(always(200, vector_of(1))) as (address, seen), closing(connect(Container(address, token))) as client:
        client.embed({"text": "text"})
        assert "Authorization" not in seen.headers[0]


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX: y", f"{TOKEN}é"])
def test_the_new_container_has_a_token_of_its_own(token: str):
    with pytest.raises(InvalidOption, match="NEW_TOKEN must be a bearer token: printable ASCII"):
        connect(Container("http://127.0.0.1:1", token, Role.NEW))


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX: y", f"{TOKEN}é"])
def test_what_cannot_be_a_token_is_refused_without_being_shown(token: str):
    with pytest.raises(InvalidOption, match="OLD_TOKEN must be a bearer token: printable ASCII") as refused:
        connect(Container("http://127.0.0.1:1", token))
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "requested"),
    [("/", "/vectors"), ("/vectors", "/vectors"), ("/vectors/", "/vectors"), ("/t2v", "/t2v/vectors")],
)
def test_an_address_may_have_a_path(path: str, requested: str):
    with serving(always(200, vector_of(1))) as (address, seen), closing(connect(Container(address + path))) as client:
        client.embed({"text": "text"})
        assert seen.paths == [requested]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:8080",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:x",
        "http://host:0",
        "http://ho st",
        "http://host/ü",
        "http://host?a=b",
        "http://host#a",
        "http://[::1",
        "http://host\n",
    ],
)
def test_what_is_not_an_address_is_refused(address: str):
    with pytest.raises(ContainerUnreachable, match="address must be like http://localhost:8080, not "):
        parse_address(address)


@pytest.mark.parametrize("address", [f"http://me:{TOKEN}@host", f"http://{TOKEN}@host:x"])
def test_a_password_in_an_address_is_refused_without_being_shown(address: str):
    with pytest.raises(ContainerUnreachable) as refused:
        parse_address(address)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "set OLD_TOKEN to a bearer token that it accepts"),
        (403, "set OLD_TOKEN to a bearer token that it accepts"),
        (404, "there is no POST /vectors below this address"),
        (405, "there is no POST /vectors below this address"),
    ],
)
def test_a_refusal_comes_with_a_hint(status: int, hint: str):
    with (
        serving(always(status, b'{"error": "no"}')) as (address, _),
        closing(connect(Container(address, TOKEN))) as client,
        pytest.raises(ContainerRefused) as refused,
    ):
        client.embed({"text": "text"})
    assert str(refused.value) == f"the old container at {address} answered {status}: {hint}"
