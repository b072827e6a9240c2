"""Vectors of an embeddings endpoint, as OpenAI's API has it; the texts leave this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.text.post import hidden, post_json
from pyg_srgnn.utils.arguments import Checks, checking

_SHOWN = 200  # characters of an answer in an error


class HTTPEncoder:
    """Asks an OpenAI-compatible endpoint: ``POST {"model": …, "input": […]}``.

    The texts are sent to ``url``; no other encoder sends texts anywhere. Answers 429 and 5xx and
    broken connections are tried again; what was encoded before an error is in the cache, so that
    the next run goes on from there.

    The key is read from an environment variable at each request and is not kept. Without this
    variable none is sent, as servers on this machine want it.

    Args:
        url: The whole address, such as ``"https://api.openai.com/v1/embeddings"``. ``http`` is for
            this machine alone (``"http://localhost:8000/v1/embeddings"``).
        model: Name of a model that the endpoint knows.
        key_variable: Name of the environment variable that holds the key.
            (default: ``"OPENAI_API_KEY"``)
        dimensions: To ask for, of a model that offers several. (default: None, the model's own)
        batch_size: Texts of a request. (default: 64)
        timeout: Seconds without a sign of life after which a request is tried again. (default: 60)
        retries: Further tries of a request, after 1, 2, 4, … seconds, or as the endpoint says.
            (default: 6)

    Raises:
        ArgumentError: If an argument is not allowed.
    """

    name = "http"
    remote = True
    version = "1"  # of what is asked for; the endpoint does not say what its model is

    def __init__(
        self,
        url: str,
        model: str,
        key_variable: str = "OPENAI_API_KEY",
        dimensions: int | None = None,
        batch_size: int = 64,
        timeout: float = 60,
        retries: int = 6,
    ) -> None:
        with checking(self) as check:
            self._local = _check_url(check, url)
            check.text("model", model)
            check.text("key_variable", key_variable)
            check.whole("dimensions", dimensions, 1, optional=True)
            check.whole("batch_size", batch_size, 1)
            check.number("timeout", timeout, above=0)
            check.whole("retries", retries, 0)
        self.key_variable, self.batch_size = key_variable, batch_size
        self.timeout, self.retries = timeout, retries
        self.settings: dict[str, Any] = {"url": url, "model": model, "dimensions": dimensions}
        self._dimensions = dimensions

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`pyg_srgnn.text.encoder.TextEncoder.encode`.

        Raises:
            ValueError: If the endpoint refuses the request, or answers with something else than one
                finite vector per text, of the same dimensions in all its answers.
            OSError: If it cannot be reached, or keeps failing.
        """
        parts = [
            self._batch(texts[start : start + self.batch_size])
            for start in range(0, len(texts), self.batch_size)
        ]
        return np.concatenate([np.empty((0, self._dimensions or 0), np.float32), *parts])

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        body = {"model": self.settings["model"], "input": list(texts)}
        if self.settings["dimensions"] is not None:
            body["dimensions"] = self.settings["dimensions"]
        answer = post_json(
            self.settings["url"],
            body,
            key=self._key,
            key_name=self.key_variable,
            timeout=self.timeout,
            retries=self.retries,
            proxy=not self._local,
        )
        return self._vectors(answer, len(texts))

    @property
    def _key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()

    def _vectors(self, answer: Any, count: int) -> NDArray[np.float32]:
        """The vectors of an answer, in the order of the texts."""
        try:
            data = answer["data"]
            rows = {row.get("index", place): row["embedding"] for place, row in enumerate(data)}
        except (AttributeError, KeyError, TypeError):
            expected = '{"data": [{"index": …, "embedding": […]}, …]}'
            raise self._wrong(expected, answer) from None
        if len(data) != count or rows.keys() != set(range(count)):
            raise self._wrong(f"a vector for each index from 0 to {count - 1}", [*rows])
        try:
            with np.errstate(over="ignore"):  # it becomes infinite
                vectors = np.array([rows[place] for place in range(count)], np.float32)
        except (TypeError, ValueError, OverflowError):
            vectors = np.empty(0, np.float32)
        if vectors.ndim != 2 or not vectors.size:
            raise self._wrong("vectors of numbers, all of one length", [*rows.values()])
        if self._dimensions is None:
            self._dimensions = vectors.shape[1]
        if vectors.shape[1] != self._dimensions:
            raise self._wrong(f"vectors of {self._dimensions} dimensions", vectors.shape[1])
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            raise self._wrong("finite numbers", rows[broken[0]])
        return vectors

    def _wrong(self, expected: str, found: Any) -> ValueError:
        shown = hidden(json.dumps(found), self._key)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        return ValueError(f"{self.settings['url']}: expected {expected}, found {shown}")


def _check_url(check: Checks, url: str) -> bool:
    """Whether a URL is of this machine; one that is not must keep the key and the texts secret."""
    local = fits = False
    shown = url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = host == "localhost" or _is_loopback(host)
        if parts.username or parts.password or parts.query or parts.fragment:
            shown = f"{parts.scheme}://{host}…"  # what is left out may be a key
        elif host and (parts.port is None or parts.port):
            fits = parts.scheme == "https" or (parts.scheme == "http" and local)
    except (AttributeError, TypeError, ValueError):
        shown = "what is no URL"
    expected = "https://HOST/PATH, or http://localhost…, without user, password and query"
    check.that(fits, "url", expected, shown)
    return local


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
