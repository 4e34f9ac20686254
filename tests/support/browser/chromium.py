"""Headless Chromium, driven through a pipe by its own protocol (Chrome DevTools Protocol)."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tests.support.programs.debian import program

FIRST_FREE = 10
"""The pipe's own descriptors are above those that the browser knows it by, 3 and 4."""

ANOTHER_MACHINE = "another-machine.test"
"""A name of this machine by which it is none that the browser trusts."""

OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # tests may run as root, and only see pages of this project
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    f"--host-resolver-rules=MAP {ANOTHER_MACHINE} 127.0.0.1",
)


class BrowserError(Exception):
    """What the browser says is wrong with a command."""


class Browser:
    """Commands to a running browser, and what it reports. Belongs to one thread."""

    def __init__(self, commands: BinaryIO, reports: BinaryIO) -> None:
        self._commands, self._reports = commands, reports
        self._last_id = 0
        self._events: dict[str, list[dict[str, Any]]] = {}

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """The result of a command. Raises ``BrowserError``."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params} | (
            {"sessionId": session} if session else {}
        )
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._next()).get("id") != self._last_id:
            pass
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def events(self, session: str) -> list[dict[str, Any]]:
        """What has been reported about a session so far. The list grows with every command."""
        return self._events.setdefault(session, [])

    def _next(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._reports.read(1)) != b"\0":
            if not byte:
                raise BrowserError("the browser has ended")
            data += byte
        message: dict[str, Any] = json.loads(data)
        if "method" in message:
            self.events(message.get("sessionId", "")).append(message)
        return message


@contextmanager
def started_browser(profile: Path) -> Iterator[Browser]:
    """A browser with a ``profile`` of its own, which is a directory for its files."""
    command = [program("chromium", "chromium"), *OPTIONS, f"--user-data-dir={profile}"]
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, FIRST_FREE) for descriptor in (theirs_in, theirs_out)]
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{moved[0]} 4>&{moved[1]}', "bash", *command],
        pass_fds=moved,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for descriptor in (theirs_in, theirs_out, *moved):
        os.close(descriptor)
    with os.fdopen(ours_out, "wb") as commands, os.fdopen(ours_in, "rb") as reports:
        browser = Browser(commands, reports)
        try:
            yield browser
            browser.call("Browser.close")
        finally:
            process.kill()
            process.wait()
