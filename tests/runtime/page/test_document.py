"""The page's document: what it is made of, how large it is, and what its policy lets a browser do."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from runtime.page.document import SCRIPTS, SOURCES, Page, assemble, policy_of

LARGEST = 40_000


@pytest.fixture(scope="module")
def html() -> str:
    return Page().document.body.decode()


def source_of(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def directives(policy: str) -> dict[str, str]:
    return dict(directive.split(" ", 1) for directive in policy.split("; "))


def test_it_is_small(html: str):
    assert len(html.encode()) <= LARGEST


def test_it_is_whole(html: str):
    sources = {path.name for path in SOURCES.iterdir() if path.suffix != ".py" and path.is_file()}
    assert sources == {"index.html", "page.css", *SCRIPTS}
    for name in sources - {"index.html"}:
        assert (SOURCES / name).read_text() in html


def test_it_loads_nothing_from_elsewhere(html: str):
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)|url\(([^)]*)|@import|\bimport\(""", html)
    assert [first.split(",")[0] for first, _ in loaded] == ["data:image/svg+xml"]


def test_the_policy_allows_the_pages_own_style_and_script_alone(html: str):
    allowed = directives(Page().document.policy)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    assert allowed["default-src"] == "'none'"
    assert (allowed["style-src"], allowed["script-src"]) == (source_of(style), source_of(script))
    assert allowed["connect-src"] == "'self'"
    assert allowed["frame-ancestors"] == allowed["base-uri"] == allowed["form-action"] == "'none'"
    assert "unsafe" not in Page().document.policy
    assert " style=" not in html
    assert not re.search(r"<[^>]+ on\w+=", html)


def test_style_and_script_go_where_there_is_room_for_them():
    found = assemble('<style></style>|<script type="module"></script>', "a{}", "b")
    assert found.body == b'<style>a{}</style>|<script type="module">b</script>'
    assert found.policy == policy_of("a{}", "b")


@pytest.mark.parametrize(
    "markup", ["", "<style></style>", '<style></style><style></style><script type="module"></script>']
)
def test_markup_without_exactly_one_place_for_each_is_a_mistake(markup: str):
    with pytest.raises(ValueError):
        assemble(markup, "", "")
