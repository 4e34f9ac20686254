"""The page at ``/`` in a real browser, for each kind of model: what it shows, its use, and that it keeps its policy."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifest import Kind, Manifest, read_manifest
from tests.support.browser.chromium import ANOTHER_MACHINE, Browser, started_browser
from tests.support.browser.scripts import LOW_CONTRAST, OVERFLOW
from tests.support.browser.tab import Tab, opened_tab
from tests.support.bundles.kinds import bundle_of
from tests.support.images.samples import SAMPLES
from tests.support.server.server_process import Server, ready

pytestmark = pytest.mark.system

MODULES = {
    Kind.CLIP: "multi2vec-clip",
    Kind.RERANK: "reranker-transformers",
    Kind.STATIC: "text2vec-model2vec",
    Kind.TEXT: "text2vec-transformers",
}
MARKUP = '<img src=x onerror="document.title=1">'
SHOWN = "document.querySelector('.result *') !== null"
IDLE = "[...document.querySelectorAll('form button')].every((each) => each.ariaBusy !== 'true')"
TOKEN = "sésame 🔑"


@dataclass(frozen=True)
class Opened:
    """A server's page in a tab."""

    tab: Tab
    server: Server
    manifest: Manifest

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/"

    def load(self) -> Tab:
        """Anew, with the example's result."""
        self.tab.show_as()
        self.tab.open(self.address)
        self.tab.wait_for(f"{SHOWN} && {IDLE}")
        return self.tab

    def post(self, path: str, body: dict[str, Any]) -> Any:
        with self.server.connect() as connection:
            return connection.request("POST", path, json.dumps(body).encode()).json

    def choose_tab(self, name: str) -> None:
        self.tab.evaluate(
            f"[...document.querySelectorAll('[role=tab]')].find((each) => each.innerText === '{name}').click()"
        )

    def write(self, label: str, text: str) -> None:
        """Into the control with this label that is shown."""
        self.tab.evaluate(f"""[...document.querySelectorAll("label")]
            .find((each) => each.innerText === "{label}" && each.checkVisibility()).control.focus()""")
        self.tab.type(text)

    def run(self) -> None:
        """The form that has the focus."""
        self.tab.evaluate("void document.activeElement.form.querySelector('button').click()")
        self.tab.wait_for(IDLE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(
    browser: Browser, default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Kind, Opened]]:
    folder = tmp_path_factory.mktemp("log")
    with ExitStack() as stack:
        opened = {}
        for kind in Kind:
            bundle = default_bundle if kind is Kind.TEXT else bundle_of(kind)
            server = stack.enter_context(ready(bundle, folder / kind))
            opened[kind] = Opened(stack.enter_context(opened_tab(browser)), server, read_manifest(bundle))
        yield opened


@pytest.fixture(params=Kind)
def page(request: pytest.FixtureRequest, pages: dict[Kind, Opened]) -> Opened:
    opened = pages[request.param]
    opened.load()
    return opened


@pytest.fixture
def text_page(pages: dict[Kind, Opened]) -> Opened:
    pages[Kind.TEXT].load()
    return pages[Kind.TEXT]


def cosines(a: Any, b: Any) -> np.ndarray:
    left, right = (np.array(each, dtype=np.float64) for each in (a, b))
    return (left @ right.T) / np.linalg.norm(left, axis=1)[:, None] / np.linalg.norm(right, axis=1)


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts]


def test_it_says_what_model_this_is_and_how_faithful(page: Opened):
    assert page.tab.texts("h1") == [page.manifest.model]
    fidelity = page.manifest.fidelity
    assert fidelity is not None
    shown = page.tab.texts("#fidelity .value")
    if fidelity.cosine is not None:
        found = fidelity.cosine
        assert shown == [f"{figure:.4f}" for figure in (found.mean, found.p1, found.minimum)]
    else:
        assert fidelity.scores is not None
        assert shown[:2] == [f"{fidelity.scores.rank_agreement:.4f}", f"{100 * fidelity.scores.top_kept:.1f} %"]
    assert page.manifest.precision in page.tab.texts("#summary")[0]


def test_it_keeps_its_policy_and_asks_this_server_alone(page: Opened):
    assert page.tab.problems() == []
    elsewhere = [url for url in page.tab.requests() if not url.startswith((page.address, "data:"))]
    assert elsewhere == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_window_and_can_be_read(page: Opened, scheme: str):
    for width in (360, 1280):
        page.tab.show_as(width, scheme)
        assert page.tab.evaluate(OVERFLOW) <= 0
        assert page.tab.evaluate(LOW_CONTRAST) == []
    assert page.tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")


def test_every_control_has_a_name(page: Opened):
    controls = page.tab.controls()
    assert {"button", "textbox"} <= {role for role, _ in controls}
    assert [role for role, name in controls if not name] == []


def test_its_programs_run_as_they_are_copied(page: Opened):
    programs = {}
    for name in ("curl", "Python", "JavaScript", "Weaviate"):
        page.choose_tab(name)
        (programs[name],) = page.tab.texts("pre")
    curl = subprocess.run(["bash", "-c", programs["curl"]], capture_output=True, text=True, check=True)
    assert "error" not in json.loads(curl.stdout)
    python = subprocess.run([sys.executable, "-c", programs["Python"]], capture_output=True, text=True, check=True)
    assert python.stderr == ""
    assert python.stdout.strip()
    printed = re.sub(r"console\.log\((.*)\);$", r"return \1;", programs["JavaScript"])
    assert page.tab.evaluate(f"(async () => {{ {printed} }})()")
    schema = json.loads(programs["Weaviate"])
    assert MODULES[page.manifest.kind] in schema["moduleConfig"]


@pytest.mark.parametrize("host", ["127.0.0.1", ANOTHER_MACHINE])
def test_a_program_is_copied(text_page: Opened, host: str):
    """A page that came over plain HTTP may not write to the clipboard as one of this machine may."""
    tab = text_page.tab
    tab.open(f"http://{host}:{text_page.server.port}/")
    assert tab.evaluate("isSecureContext") == (host != ANOTHER_MACHINE)
    tab.wait_for("document.querySelector('.snippet button') !== null")
    tab.evaluate("void document.querySelector('.snippet button').focus()")
    tab.press("Enter")
    tab.wait_for("document.activeElement.innerText === 'Copied'")
    (program,) = tab.texts("pre")
    assert f"http://{host}:{text_page.server.port}/vectors" in program
    tab.open(text_page.address)
    assert tab.evaluate("navigator.clipboard.readText()") == program


def test_live_figures_are_those_of_the_server(text_page: Opened):
    tab = text_page.tab
    tab.wait_for("document.querySelectorAll('#figures .value').length === 8")
    with text_page.server.connect() as connection:
        for number in range(20):
            assert connection.embed(f"text {number}").status == 200
    tab.wait_for("document.querySelector('#figures .value').innerText !== '0'")
    shown = dict(zip(tab.texts("#figures dt"), tab.texts("#figures dd"), strict=True))
    rates = [float(shown[name].removesuffix(" /s").replace(",", "")) for name in ("Requests", "Texts", "Tokens")]
    assert 0 < rates[0] <= rates[1] < rates[2]
    median, slow = (float(shown[f"Latency, {name}"].removesuffix(" ms")) for name in ("median", "99th percentile"))
    assert 0 < median <= slow
    assert shown["Failed"].startswith("0 of ")
    assert shown["In flight"] == "0 and 0 queued"
    assert float(shown["Memory, largest process"].removesuffix(" MB")) > 10
    assert tab.problems() == []


def test_printed_it_has_the_results_and_nothing_to_press(page: Opened):
    page.tab.show_as(media="print")
    assert page.tab.texts("form button") == []
    assert page.tab.texts(".result") != [""]
    assert page.tab.printed().startswith(b"%PDF")


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.STATIC, Kind.CLIP])
def test_texts_are_compared_with_each_other(pages: dict[Kind, Opened], kind: Kind):
    page = pages[kind]
    page.load()
    page.choose_tab("Compare texts")
    texts = ["a river", "图书馆 🙂", MARKUP, "a river walk"]
    page.write("Texts", "\n\n".join(texts))
    page.run()
    assert page.tab.texts(".heat tbody th") == [f"{number} {text}" for number, text in enumerate(texts, 1)]
    shown = page.tab.texts(".heat tbody td")
    if kind is Kind.CLIP:
        vectors = page.post("/vectorize", {"texts": texts})["textVectors"]
    else:
        vectors = page.post("/vectors", {"texts": texts})["vectors"]
    expected = cosines(vectors, vectors)
    assert [shown[i] for i in range(0, 16, 5)] == ["·"] * 4
    np.testing.assert_allclose(
        numbers([each for each in shown if each != "·"]), expected[~np.eye(4, dtype=bool)], atol=0.00501
    )
    assert page.tab.problems() == []
    assert page.tab.evaluate("document.title") != "1"


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.STATIC])
def test_passages_are_ranked_by_a_query(pages: dict[Kind, Opened], kind: Kind):
    page = pages[kind]
    page.load()
    page.choose_tab("Search")
    passages = ["Bread rises overnight.", "The ferry leaves at seven.", MARKUP]
    page.write("Passages", "\n".join(passages))
    page.write("Query", "When does the boat depart?")
    page.run()
    query = page.post("/vectors", {"texts": ["When does the boat depart?"], "config": {"task_type": "query"}})[
        "vectors"
    ]
    stored = page.post("/vectors", {"texts": passages, "config": {"task_type": "passage"}})["vectors"]
    (expected,) = cosines(query, stored)
    order = np.argsort(-expected)
    assert page.tab.texts(".bars li > span:first-child") == [passages[index] for index in order]
    np.testing.assert_allclose(numbers(page.tab.texts(".bars .value")), expected[order], atol=0.000501)
    assert passages[order[0]] == "The ferry leaves at seven."


def test_documents_are_ranked_by_a_reranker(pages: dict[Kind, Opened]):
    page = pages[Kind.RERANK]
    page.load()
    documents = ["river", "stone", "green paper", MARKUP]
    page.write("Documents", "\n".join(documents))
    page.write("Query", "the river walk")
    page.run()
    scores = np.array(
        [each["score"] for each in page.post("/rerank", {"query": "the river walk", "documents": documents})["scores"]]
    )
    order = np.argsort(-scores, kind="stable")
    assert page.tab.texts(".bars li > span:first-child") == [documents[index] for index in order]
    np.testing.assert_allclose(numbers(page.tab.texts(".bars .value")), scores[order], atol=0.000501)


class TestPictures:
    def test_texts_are_ranked_by_a_picture_that_was_chosen(self, pages: dict[Kind, Opened]):
        page = pages[Kind.CLIP]
        page.load()
        drawn = page.tab.evaluate("document.querySelector('.preview').src")
        page.tab.choose_file("input[type=file]", SAMPLES[0])
        page.tab.wait_for(f"document.querySelector('.preview').src !== {json.dumps(drawn)}")
        page.write("Texts", "a river\na stone")
        page.run()
        image = page.tab.evaluate("document.querySelector('.preview').src.split(',')[1]")
        vectors = page.post("/vectorize", {"texts": ["a river", "a stone"], "images": [image]})
        (expected,) = cosines(vectors["imageVectors"], vectors["textVectors"])
        np.testing.assert_allclose(
            numbers(page.tab.texts(".bars .value")), sorted(expected, reverse=True), atol=0.000501
        )
        assert page.tab.problems() == []

    def test_a_file_that_is_no_picture_gets_the_servers_own_sentence(self, pages: dict[Kind, Opened], tmp_path: Path):
        page = pages[Kind.CLIP]
        page.load()
        (tmp_path / "notes.txt").write_text("no picture")
        drawn = page.tab.evaluate("document.querySelector('.preview').src")
        page.tab.choose_file("input[type=file]", tmp_path / "notes.txt")
        page.tab.wait_for(f"document.querySelector('.preview').src !== {json.dumps(drawn)}")
        page.write("Texts", "a river")
        page.run()
        (said,) = page.tab.texts(".result .notice")
        assert said.startswith("images[0] ")


def test_what_cannot_be_compared_is_said(text_page: Opened):
    text_page.write("Texts", "one line\n \n")
    text_page.run()
    assert text_page.tab.texts(".result .notice") == ["Write at least 2 lines."]
    text_page.write("Texts", "\n".join(map(str, range(17))))
    text_page.run()
    assert text_page.tab.texts(".result .notice") == ["Compare 16 texts at most, not 17."]
    text_page.write("Texts", "\n".join(map(str, range(16))))
    text_page.run()
    assert len(text_page.tab.texts(".heat tbody td")) == 256
    text_page.tab.show_as(360)
    assert text_page.tab.evaluate(OVERFLOW) <= 0


def test_the_keyboard_alone_is_enough(text_page: Opened):
    tab = text_page.tab
    focused = "document.activeElement.innerText || document.activeElement.labels?.[0].innerText"
    tab.press("Tab")
    assert tab.evaluate(focused) == "Compare texts"
    tab.press("ArrowRight")
    assert tab.evaluate(focused) == "Search"
    tab.press("ArrowRight")
    assert tab.evaluate(focused) == "Compare texts"
    tab.press("End")
    tab.press("Tab")
    assert tab.evaluate(focused) == "Query"
    tab.type("When is the bread ready?")
    tab.press("Tab")
    tab.type("Bread rises overnight.\nThe ferry leaves at seven.")
    tab.press("Enter", control=True)
    tab.wait_for(f"document.querySelectorAll('.bars li').length === 2 && {IDLE}")
    assert tab.texts(".bars li > span:first-child") == ["Bread rises overnight.", "The ferry leaves at seven."]
    tab.press("Tab")
    assert tab.evaluate(focused) == "Search"
    tab.press("Enter")
    tab.wait_for(IDLE)
    assert tab.problems() == []
    for name in ("curl", "Copy"):
        while tab.evaluate(focused) != name:
            tab.press("Tab")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_it_can_be_switched_off(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", PAGE="0") as server, server.connect() as connection:
        refused = connection.request("GET", "/")
        assert (refused.status, refused.headers["allow"]) == (405, "POST, OPTIONS")
        assert connection.request("POST", "/", b'{"inputs": "a text"}').status == 200


def test_its_head_comes_alone(pages: dict[Kind, Opened]):
    connection = http.client.HTTPConnection("127.0.0.1", pages[Kind.TEXT].server.port)
    answers = []
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, "/")
        answer = connection.getresponse()
        answers.append((answer.status, answer.headers["Content-Length"], len(answer.read())))
    connection.close()
    (_, length, _) = answers[1]
    assert answers == [(200, length, 0), (200, length, int(length)), (200, length, 0)]


@pytest.fixture(scope="module")
def guarded(browser: Browser, default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    log = tmp_path_factory.mktemp("tokens") / "log"
    with (
        ready(default_bundle, log, AUTHENTICATION_ALLOWED_TOKENS=TOKEN) as server,
        opened_tab(browser) as tab,
    ):
        yield Opened(tab, server, read_manifest(default_bundle))


def test_where_a_token_is_needed_the_page_asks_for_it_and_sends_it(guarded: Opened):
    tab = guarded.tab
    tab.open(guarded.address)
    tab.wait_for("document.activeElement.id === 'token'")
    assert tab.texts("h1, h2, pre") == []
    assert guarded.manifest.model not in tab.text()
    tab.type("another")
    tab.press("Enter")
    tab.wait_for("document.getElementById('token-error').innerText !== ''")
    assert tab.texts("#token-error") == ["This is none of the allowed tokens."]
    tab.type(TOKEN)
    tab.press("Enter")
    tab.wait_for(f"{SHOWN} && {IDLE}")
    assert tab.texts("#sign-in") == []
    assert tab.texts("h1") == [guarded.manifest.model]
    assert len(tab.texts(".heat tbody td")) == 36
    (program,) = tab.texts("pre")
    assert "-H 'Authorization: Bearer TOKEN'" in program
    assert TOKEN not in tab.evaluate("document.documentElement.outerHTML")
    assert [problem for problem in tab.problems() if "401" not in problem] == []
    assert tab.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_the_token_is_forgotten_with_the_page(guarded: Opened):
    guarded.tab.open(guarded.address)
    guarded.tab.wait_for("document.activeElement.id === 'token'")
    assert guarded.tab.evaluate("document.getElementById('token').value") == ""
