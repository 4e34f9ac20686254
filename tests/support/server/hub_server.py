"""Plays the Hugging Face hub on this machine, as far as ``huggingface_hub`` needs it, with failures on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE_FILES = (".safetensors", ".bin", ".onnx")
"""Files with these endings are in LFS: the hub keeps them outside git, and serves them from another host."""


@dataclass
class Repository:
    """A model's repository at its newest commit."""

    files: dict[str, bytes]
    refs: tuple[str, ...] = ("main",)
    """The branches and tags of this commit."""
    older: tuple[Repository, ...] = ()
    """Commits before it."""
    served: dict[str, bytes] = field(default_factory=dict)
    """What is sent in place of a file's content; its stated hash and size stay true."""
    breaks: dict[str, list[int]] = field(default_factory=dict)
    """By file: after how many bytes of its content the connection ends, once per entry."""
    token: str | None = None
    """Requests without it get the answer that there is no such model."""
    gated: bool = False
    """Whether files need the token, but the listing does not."""
    denied: int | None = None
    """The status of all answers to requests for files; the listing is not affected."""
    stated: dict[str, int] = field(default_factory=dict)
    """Sizes that the listing states in place of the true ones."""

    @property
    def commit(self) -> str:
        content = repr(sorted((name, hashlib.sha256(data).hexdigest()) for name, data in self.files.items()))
        return hashlib.sha1(content.encode()).hexdigest()

    def at(self, revision: str) -> Repository | None:
        """The commit that a branch, tag or hash names."""
        known = (self, *self.older)
        return next((one for one in known if revision in (one.commit, *one.refs)), None)

    def listing(self, model: str) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, data in self.files.items():
            entry: dict[str, Any] = {
                "rfilename": name,
                "size": self.stated.get(name, len(data)),
                "blobId": git_blob_id(data),
            }
            if name.endswith(LARGE_FILES):
                entry["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
            siblings.append(entry)
        return {"_id": "0", "id": model, "modelId": model, "sha": self.commit, "private": False, "siblings": siblings}


@dataclass(frozen=True)
class Seen:
    """A request as the hub saw it."""

    method: str
    path: str
    host: str
    """The name by which the hub was reached."""
    token: str | None
    range: str | None


@dataclass
class Hub:
    """The hub's repositories, and the requests that it saw."""

    port: int
    repositories: dict[str, Repository] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    status: int | None = None
    """The status of every answer, if it is set."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        """The other host, which serves the large files."""
        return f"http://localhost:{self.port}"

    def downloads(self) -> list[str]:
        """The files whose content was requested, in order."""
        paths = [request.path for request in self.seen if request.method == "GET"]
        return [re.sub(r".*/(resolve|storage)/[^/]+/", "", path) for path in paths if "/api/" not in path]


def git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def files_of(directory: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def running_hub(port: int = 0) -> Iterator[Hub]:
    """A hub at a port, or at one that is free."""
    server = _HubServer(port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = Hub(self.server_port)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, _HubServer)
        return self.server.hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        host = (self.headers.get("Host") or "").split(":")[0]
        self.hub.seen.append(Seen(self.command, path, host, token, self.headers.get("Range")))
        if self.hub.status is not None:
            self._error(self.hub.status)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            model, revision = found.groups()
            self._listing(model, revision, token)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/(resolve|storage)/([^/]+)/(.+)", path):
            model, kind, commit, name = found.groups()
            self._file(model, commit, name, token, from_storage=kind == "storage")
        else:
            self._error(404)

    def _listing(self, model: str, revision: str, token: str | None) -> None:
        spelling = next((name for name in self.hub.repositories if name.lower() == model.lower()), None)
        repository = self.hub.repositories.get(spelling or "")
        if repository is None or (repository.token and token != repository.token and not repository.gated):
            if token is None:
                self._error(401, message="Invalid username or password.")
            else:
                self._error(404, "RepoNotFound", "Repository not found")
        elif spelling != model:
            target = self.path.replace(self.path.split("/revision/")[0], f"/api/models/{spelling}")
            self._send(307, b"", {"Location": target})
        elif (found := repository.at(revision)) is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            self._send(200, json.dumps(found.listing(model)).encode(), {"Content-Type": "application/json"})

    def _file(self, model: str, commit: str, name: str, token: str | None, from_storage: bool) -> None:
        newest = self.hub.repositories.get(model)
        repository = newest and newest.at(commit)
        if repository is None or name not in repository.files:
            self._error(404, "EntryNotFound", "Entry not found")
            return
        if repository.denied is not None:
            self._error(repository.denied, "EntryNotFound" if repository.denied == 404 else None)
            return
        if repository.token and token != repository.token and not from_storage:
            self._error(
                401 if token is None else 403, "GatedRepo" if repository.gated else None, "Access is restricted"
            )
            return
        data = repository.files[name]
        large = name.endswith(LARGE_FILES)
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{git_blob_id(data)}"', "Accept-Ranges": "bytes"}
        if large and not from_storage:
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(data).hexdigest()}"'
            headers["X-Linked-Size"] = str(len(data))
            headers["Location"] = f"{self.hub.storage}/{model}/storage/{commit}/{name}"
            self._send(302, b"", headers)
            return
        self._content(repository.served.get(name, data), headers, repository.breaks.get(name, []))

    def _content(self, data: bytes, headers: dict[str, str], breaks: list[int]) -> None:
        start = int(re.sub(r"bytes=(\d+)-", r"\1", self.headers.get("Range") or "bytes=0-"))
        if start >= len(data) > 0:
            self._error(416)
            return
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        if breaks and self.command == "GET":
            self._send(206 if start else 200, body, headers, up_to=breaks.pop(0))
            self.close_connection = True
        else:
            self._send(206 if start else 200, body, headers)

    def _error(self, status: int, code: str | None = None, message: str = "") -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str], up_to: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:up_to])
