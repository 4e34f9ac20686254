"""A browser's tab: pages are opened, looked at, and used by keyboard."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.browser.chromium import Browser, BrowserError
from tests.support.server.server_process import wait_until

KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Space": (32, " "),
    "End": (35, ""),
    "Home": (36, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
}
"""Key codes, and what a key types."""

CONTROL = 2


class Tab:
    """Belongs to one thread."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self._seen = 0

    def open(self, url: str) -> None:
        """Load a page, and wait until it is there."""
        self._seen = len(self._events)
        # The page that is left may have the same address.
        self.evaluate("void (window.isLeft = true)")
        self._call("Page.navigate", url=url)
        arrived = f"!window.isLeft && location.href === {json.dumps(url)} && document.readyState === 'complete'"
        wait_until(lambda: self._is_true(arrived), f"{url} is not there")

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a script's expression, or of what it promises. Raises ``BrowserError``."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: self.evaluate(expression), f"never true: {expression}", self.text)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.evaluate(expression))
        except BrowserError:
            # The page that it was asked of has gone.
            return False

    def text(self) -> str:
        """What a person reads on the page."""
        return str(self.evaluate("document.body.innerText"))

    def texts(self, selector: str) -> list[str]:
        """The text of each element that is shown."""
        shown = f"[...document.querySelectorAll({json.dumps(selector)})].filter((each) => each.checkVisibility())"
        found: list[str] = self.evaluate(f"{shown}.map((each) => each.innerText)")
        return found

    def press(self, key: str, control: bool = False) -> None:
        """Press a key, where the focus is."""
        code, text = KEYS[key]
        name = " " if key == "Space" else key
        common = {"key": name, "code": key, "windowsVirtualKeyCode": code, "modifiers": CONTROL if control else 0}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Type a text in place of what the focused control has."""
        self.evaluate("document.activeElement.select()")
        self._call("Input.insertText", text=text)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a control for files."""
        expression = f"document.querySelector({json.dumps(selector)})"
        node = self._call("Runtime.evaluate", expression=expression)["result"]["objectId"]
        self._call("DOM.setFileInputFiles", files=[str(path)], objectId=node)

    def show_as(self, width: int = 1280, scheme: str = "light", media: str = "screen") -> None:
        """How wide the window is, in CSS pixels, which colors a person prefers, and whether the page is printed."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self._call("Page.printToPDF", printBackground=False)["data"])

    def controls(self) -> list[tuple[str, str]]:
        """Role and name of each control, as a screen reader has them."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "tab", "textbox", "region", "table", "tablist", "tabpanel"}
        pairs = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node]
        return [(role, name) for role, name in pairs if role in roles]

    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        return [event["params"]["request"]["url"] for event in self._new("Network.requestWillBeSent")]

    def problems(self) -> list[str]:
        """Errors and warnings since the page was opened: of scripts, of its policy, of what it has loaded."""
        self.evaluate("1")
        thrown = [event["params"]["exceptionDetails"]["text"] for event in self._new("Runtime.exceptionThrown")]
        written = [event["params"] for event in self._new("Runtime.consoleAPICalled")]
        logged = [event["params"]["entry"] for event in self._new("Log.entryAdded")]
        issues = [event["params"]["issue"]["code"] for event in self._new("Audits.issueAdded")]
        return [
            *thrown,
            *(str(each["args"]) for each in written if each["type"] in ("error", "warning", "assert")),
            *(f"{each['text']} {each.get('url', '')}" for each in logged),
            *issues,
        ]

    @property
    def _events(self) -> list[dict[str, Any]]:
        return self._browser.events(self._session)

    def _new(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self._events[self._seen :] if event["method"] == method]

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)


@contextmanager
def opened_tab(browser: Browser) -> Iterator[Tab]:
    """A new tab, with nothing that others have stored."""
    context = browser.call("Target.createBrowserContext")["browserContextId"]
    target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.call("Browser.grantPermissions", permissions=permissions, browserContextId=context)
    for domain in ("Page", "Runtime", "Log", "Network", "Audits", "Accessibility"):
        browser.call(f"{domain}.enable", session)
    # Each tab behaves as the one in front, which a clipboard is open to.
    browser.call("Emulation.setFocusEmulationEnabled", session, enabled=True)
    tab = Tab(browser, session)
    tab.show_as()
    yield tab
    browser.call("Target.disposeBrowserContext", browserContextId=context)
