"""``GET /``: who gets the page, with which headers, beside what POST requests of the same path are answered."""

from __future__ import annotations

import json

import pytest
from falcon import testing

from runtime.page.document import Page
from runtime.readiness import Readiness
from tests.support.server.fake_encoder import FakeEncoder, fake_app, with_bodies

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
BEARER = {"Authorization": "Bearer secret"}


def client(page: Page | None = None, tokens: frozenset[str] = frozenset(), *paths: str) -> testing.TestClient:
    readiness = Readiness()
    readiness.started()
    return testing.TestClient(with_bodies(fake_app(FakeEncoder(), readiness, tokens, ("/vectors", *paths), page)))


def assert_is_the_page(result: testing.Result, status: int = 200) -> None:
    document = Page().document
    assert result.status_code == status
    assert result.headers["content-type"] == "text/html; charset=utf-8"
    assert result.headers["content-security-policy"] == document.policy
    assert result.headers["x-content-type-options"] == "nosniff"
    assert int(result.headers["content-length"]) == len(document.body)


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_everybody_gets_the_page_where_no_token_is_needed(headers: dict[str, str]):
    result = client(Page()).simulate_get("/", headers=headers)
    assert_is_the_page(result)
    assert result.content == Page().document.body


def test_its_head_comes_without_it():
    result = client(Page()).simulate_head("/")
    assert_is_the_page(result)
    assert result.content == b""


def test_posts_of_the_same_path_are_answered_by_their_endpoint():
    both = client(Page(), frozenset(), "/")
    assert both.simulate_post("/", body=json.dumps({"text": "hi"})).json["dim"] == 3
    assert_is_the_page(both.simulate_get("/"))
    assert both.simulate_put("/").headers["allow"].split(", ") == ["GET", "HEAD", "POST", "OPTIONS"]


def test_a_post_is_not_allowed_where_the_page_is_alone():
    result = client(Page()).simulate_post("/", body="{}")
    assert result.status_code == 405
    assert result.json == {"error": "the method POST is not allowed for this path"}


def test_without_the_page_there_is_no_such_path():
    assert client().simulate_get("/").status_code == 404
    assert client(None, frozenset(), "/").simulate_get("/").status_code == 405


class TestWithTokens:
    def test_the_page_is_behind_the_token(self):
        result = client(Page(), frozenset({"secret"})).simulate_get("/")
        assert result.status_code == 401
        assert result.json == {"error": "Unauthorized"}

    def test_a_browser_gets_a_401_that_asks_for_the_token(self):
        result = client(Page(), frozenset({"secret"})).simulate_get("/", headers=BROWSER)
        assert_is_the_page(result, 401)
        assert result.headers["www-authenticate"] == "Bearer"

    def test_whoever_has_one_gets_the_page(self):
        assert_is_the_page(client(Page(), frozenset({"secret"})).simulate_get("/", headers=BROWSER | BEARER))

    @pytest.mark.parametrize("path", ["/meta", "/vectors", "/nothing"])
    def test_no_other_path_answers_a_browser_with_a_page(self, path: str):
        result = client(Page(), frozenset({"secret"})).simulate_get(path, headers=BROWSER)
        assert (result.status_code, result.json) == (401, {"error": "Unauthorized"})

    def test_a_post_without_a_token_is_refused_as_ever(self):
        result = client(Page(), frozenset({"secret"}), "/").simulate_post("/", body="{}", headers=BROWSER)
        assert (result.status_code, result.json) == (401, {"error": "Unauthorized"})

    def test_without_the_page_nobody_is_asked(self):
        result = client(None, frozenset({"secret"}), "/").simulate_get("/", headers=BROWSER)
        assert (result.status_code, result.json) == (401, {"error": "Unauthorized"})
