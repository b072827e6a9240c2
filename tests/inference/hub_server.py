"""A Hugging Face hub of one process: repositories, commits and files, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Hub:
    """The repositories: for each the files of its newest commit."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.tokens: set[str | None] = set()
        self.fetched: list[str] = []

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        """Apply the operations of a commit."""
        files = self.repositories[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "deletedFile", line
                del files[value["path"]]

    def sha(self, repo: str) -> str:
        """A number of the state of a repository, as of a commit."""
        return hashlib.sha1(repr(sorted(self.repositories[repo].items())).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(
        self, content: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self) -> None:
        hub, body = self.hub, self._body()
        hub.tokens.add(self.headers.get("Authorization"))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            hub.repositories.setdefault(repo, {})
            private = asked.get("private") or asked.get("visibility") == "private"
            hub.private.setdefault(repo, private)
            self._answer({"url": f"http://{self.headers['Host']}/{repo}", "name": repo})
        elif self.path.startswith("/api/validate-yaml"):
            self._answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            paths = [file["path"] for file in json.loads(body)["files"]]
            kinds = [
                {"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths
            ]
            self._answer({"files": kinds})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            hub.commit(found[1], [json.loads(line) for line in body.splitlines()])
            sha = hub.sha(found[1])
            url = f"http://{self.headers['Host']}/{found[1]}/commit/{sha}"
            self._answer({"success": True, "commitOid": sha, "commitUrl": url})
        else:
            self._answer({"error": self.path}, 404)

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/main|/tree/[^/]+)?", path):
            if (repo := found[1]) not in hub.repositories:
                self._answer({"error": "no"}, 404, {"X-Error-Code": "RepoNotFound"})
            elif "/tree/" in path:
                files = hub.repositories[repo].items()
                listed = [
                    {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                    for name, data in files
                ]
                self._answer(listed)
            else:
                names = [{"rfilename": name} for name in hub.repositories[repo]]
                self._answer({"id": repo, "sha": hub.sha(repo), "siblings": names})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            data = hub.repositories[found[1]][found[3]]
            if self.command == "GET":
                hub.fetched.append(found[3])
            etag = hashlib.sha256(data).hexdigest()
            self._answer(data, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": found[2]})
        else:
            self._answer({"error": path}, 404)

    do_HEAD = do_GET


@contextmanager
def hub_running() -> Iterator[tuple[Hub, str]]:
    """Run a hub; the hub and its address."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
