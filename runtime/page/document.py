"""The page as one document: markup, style and script in one, and the policy that lets a browser run these alone."""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
MARKUP = "index.html"
STYLE = "page.css"
SCRIPTS = (
    "dom.js",
    "server.js",
    "charts.js",
    "model.js",
    "embedding.js",
    "trials.js",
    "snippets.js",
    "live.js",
    "main.js",
)
"""They become one module, in this order: what is declared in one is known to all."""

STYLE_PLACE = "<style></style>"
SCRIPT_PLACE = '<script type="module"></script>'


@dataclass(frozen=True)
class Document:
    """What a browser is sent."""

    body: bytes
    policy: str
    """The value of ``Content-Security-Policy``."""


class Page:
    """Reads its sources when it is asked for the first time: nobody waits for them at a start."""

    @functools.cached_property
    def document(self) -> Document:
        """The whole page. Raises ``OSError`` for a source that cannot be read."""
        return assemble(read(MARKUP), read(STYLE), "\n".join(map(read, SCRIPTS)))


def read(name: str) -> str:
    """A source of the page."""
    return (SOURCES / name).read_text(encoding="utf-8")


def assemble(markup: str, style: str, script: str) -> Document:
    """Put style and script where the markup has room for them."""
    whole = _put(_put(markup, STYLE_PLACE, style), SCRIPT_PLACE, script)
    return Document(whole.encode(), policy_of(style, script))


def policy_of(style: str, script: str) -> str:
    """What the page may do (W3C, Content Security Policy Level 3): its own style and script, requests to this server.

    Pictures come from the page itself. No text can become markup, and no other page can show this one in a frame.
    """
    directives = {
        "default-src": "'none'",
        "script-src": _hash_source(script),
        "style-src": _hash_source(style),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


def _hash_source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _put(markup: str, place: str, content: str) -> str:
    before, after = markup.split(place)
    opening, closing = place.split("</")
    return f"{before}{opening}{content}</{closing}{after}"
