"""A small HTTP server for tests that can be slow, forgetful of ranges, flaky or wrong."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class FileServer:
    """Serve a folder on a free local port while the ``with`` block lasts.

    Args:
        folder: What is served.
        ranges: Whether ``Range`` is understood; otherwise the whole file is sent. (default: True)
        rate: Bytes a second; None for as fast as it goes. (default: None)
        drops: After how many bytes each of the first responses breaks off. (default: none)
        errors: Status codes that the first responses have in place of the file. (default: none)
        silent: Whether answers leave out Content-Length. (default: False)
        content_type: The Content-Type of the answers. (default: none)
    """

    def __init__(
        self,
        folder: Path,
        ranges: bool = True,
        rate: float | None = None,
        drops: tuple[int, ...] = (),
        errors: tuple[int, ...] = (),
        silent: bool = False,
        content_type: str | None = None,
    ) -> None:
        self.folder, self.ranges, self.rate, self.silent = folder, ranges, rate, silent
        self.drops, self.errors = list(drops), list(errors)
        self.content_type = content_type
        self.requests: list[tuple[str, str | None]] = []  # path, Range header
        self.sent = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self._answer(handler)

            def log_message(handler, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.daemon = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        file = self.folder / unquote(handler.path).lstrip("/")
        if self.errors:
            return handler.send_error(self.errors.pop(0))
        if not file.is_file():
            return handler.send_error(404)
        content = file.read_bytes()
        start = 0
        if asked and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                return handler.send_error(416)
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        if not self.silent:
            handler.send_header("Content-Length", str(len(content) - start))
        if self.content_type:
            handler.send_header("Content-Type", self.content_type)
        handler.end_headers()
        body = content[start:]
        if self.drops:
            body = body[: self.drops.pop(0)]
        step = len(body) or 1 if self.rate is None else max(1, int(self.rate / 100))
        try:
            for i in range(0, len(body), step):
                handler.wfile.write(body[i : i + step])
                self.sent += len(body[i : i + step])
                if self.rate is not None:
                    time.sleep(step / self.rate)
        except OSError:
            pass  # the other side was killed
