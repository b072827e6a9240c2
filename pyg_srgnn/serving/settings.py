"""The settings of a service: where it listens, its limits, its times."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pyg_srgnn.inference.choice import AUTO, CHOICES
from pyg_srgnn.serving.hosts import is_loopback, is_name
from pyg_srgnn.utils.arguments import checking

# Settings of environment variables: everybody on the machine sees a command line.
SECRETS = {"token": "SRGNN_TOKEN", "redis_password": "SRGNN_REDIS_PASSWORD"}

_SCHEMES = ("redis://", "rediss://", "unix://")


def secrets() -> dict[str, Any]:
    """The settings that the environment holds."""
    return {name: os.environ.get(variable) or None for name, variable in SECRETS.items()}


@dataclass(frozen=True)
class Settings:
    """The settings of a service.

    Args:
        checkpoint: A run directory, checkpoint file or exported folder.
        names: A file of item names for the page; .csv, .tsv or .json. (default: none)
        challenger: Another model, B, that answers a share of the sessions; one like ``checkpoint``,
            which is A. (default: none)
        share: The share of the sessions, from 0 to 1. (default: 0.1)
        answers: A file to which every answer is appended as a line of JSON, ids alone.
            (default: none)
        attributes: A file of item attributes, by which rules are applied. (default: none)
        rules: A JSON file of named rules. (default: none)
        host: The address to listen on. (default: ``"127.0.0.1"``, this machine alone)
        port: The port; 0 takes a free one. (default: 8000)
        open: Whether other machines may send requests without a token. (default: False)
        hosts: Further names of the service, such as that of a proxy. Without a token, or if names
            are given, a request is refused whose Host or Origin is neither one of these nor
            localhost. (default: none)
        token: The token of every request but those for /health and /ready. (default: none)
        workers: Processes that answer, behind one port; the model is in memory once. (default: 1)
        threads: Threads of the model in each of them; null lets torch choose. (default: 1: more
            are slower, except for the largest catalogues)
        precision: How the items of an export are searched: ``"float32"``, ``"float32_blocks"``,
            ``"bfloat16"``, ``"float16"`` or ``"int8"``. Answers are the same, but that the
            log-probabilities of a mixture are off by some hundredths at most, as measured, in the
            last three. (default: ``"auto"``, as the export says, else the fastest way on this
            processor)
        batch_size: Sessions scored at once. (default: 64)
        batch_wait_ms: How long the first session of a batch waits for others, milliseconds.
            (default: 0: a batch is what has arrived while the one before was scored)
        max_queue: Sessions that wait; further ones are refused with 503. (default: 1024)
        max_clicks: Clicks of a session. (default: 1000)
        max_k: Items recommended to a session. (default: 1000)
        max_sessions: Sessions of a batch request. (default: 1000)
        max_body: Bytes of a body. (default: 1 MiB)
        max_added: Items added to a model by requests. (default: 10000)
        max_connections: Open connections of a process; at the limit the one that has been idle
            longest is closed. (default: 1000)
        max_per_address: Open connections from one address; null behind a proxy, whose address all
            requests have. (default: 500)
        request_timeout: Seconds from the first byte of a request to its last, and seconds in which
            the client must read the answer. (default: 10)
        sessions: Where sessions are kept: null (nowhere), "memory", or a Redis URL.
            (default: null)
        redis_password: The password of Redis, if the URL has none. (default: none)
        session_ttl: Seconds that a session is kept after its last click. (default: 1800)
        max_kept: Sessions kept in memory; the least recent ones are dropped. (default: 100000)
        reload_seconds: How often to look for a new artifact; 0 means only on SIGHUP. (default: 0)
        reload_timeout: Seconds in which a new model must be loaded and answer; else the old one
            stays. (default: 120)
        drain_seconds: How long after SIGTERM requests are still answered while /ready is 503.
            (default: 1)
        stop_seconds: How long the requests in flight may take after that. (default: 30)
        check: Load the model, say how it would be served, and end. (default: False)
        log_requests: Whether every request is logged. (default: False)
        log_sessions: Whether the log of requests contains the items clicked. (default: False)

    Raises:
        ValueError: If values are not allowed; names each, what was found and what is expected.
    """

    checkpoint: str
    names: str | None = None
    challenger: str | None = None
    share: float = 0.1
    answers: str | None = None
    attributes: str | None = None
    rules: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    open: bool = False
    hosts: Sequence[str] | None = None
    token: str | None = field(default=None, repr=False)
    workers: int = 1
    threads: int | None = 1
    precision: str = AUTO
    batch_size: int = 64
    batch_wait_ms: float = 0.0
    max_queue: int = 1024
    max_clicks: int = 1000
    max_k: int = 1000
    max_sessions: int = 1000
    max_body: int = 1 << 20
    max_added: int = 10_000
    max_connections: int = 1000
    max_per_address: int | None = 500
    request_timeout: float = 10.0
    sessions: str | None = None
    redis_password: str | None = field(default=None, repr=False)
    session_ttl: float = 1800.0
    max_kept: int = 100_000
    reload_seconds: float = 0.0
    reload_timeout: float = 120.0
    drain_seconds: float = 1.0
    stop_seconds: float = 30.0
    check: bool = False
    log_requests: bool = False
    log_sessions: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        with checking(self) as check:
            check.text("checkpoint", self.checkpoint)
            check.text("host", self.host)
            check.number("share", self.share, least=0, most=1)
            texts = ("names", "challenger", "answers", "attributes", "rules", "token")
            for name in (*texts, "redis_password"):
                check.text(name, getattr(self, name), optional=True)
            check.one_of("precision", self.precision, CHOICES)
            for name in ("open", "check", "log_requests", "log_sessions"):
                check.flag(name, getattr(self, name))
            check.whole("port", self.port, 0, 65535)
            for name in ("threads", "max_per_address"):
                check.whole(name, getattr(self, name), 1, optional=True)
            for name in (
                *("workers", "batch_size", "max_queue", "max_clicks", "max_k", "max_sessions"),
                *("max_body", "max_added", "max_connections", "max_kept"),
            ):
                check.whole(name, getattr(self, name), 1)
            for name in ("request_timeout", "session_ttl", "reload_timeout", "stop_seconds"):
                check.number(name, getattr(self, name), above=0)
            for name in ("batch_wait_ms", "reload_seconds", "drain_seconds"):
                check.number(name, getattr(self, name), least=0)
            names = self.hosts if isinstance(self.hosts, (list, tuple)) else []
            fits = self.hosts is None or (bool(names) and all(map(is_name, names)))
            expected = "names such as [shop.example], without scheme and port, or None"
            check.that(fits, "hosts", expected, self.hosts)
            if isinstance(self.token, str):
                fits = self.token.isascii() and self.token.isprintable() and " " not in self.token
                expected = "at least 8 characters of ASCII without blanks"
                check.that(fits and len(self.token) >= 8, "token", expected, "…")
            fits = self.sessions in (None, "memory") or (
                isinstance(self.sessions, str) and self.sessions.startswith(_SCHEMES)
            )
            expected = "memory, a URL such as redis://127.0.0.1:6379/0, or None"
            check.that(fits, "sessions", expected, _without_password(self.sessions))
        if not (self.open or self.token or is_loopback(self.host)):
            raise ValueError(
                f"host={self.host}: others would reach the service. Set a token in the environment "
                f"variable {SECRETS['token']}, which every request must bear "
                f"(Authorization: Bearer …), or say open=true to let everybody ask"
            )

    def __repr__(self) -> str:
        """Every setting, but for what is secret."""
        shown = {one.name: getattr(self, one.name) for one in fields(self) if one.repr}
        shown["sessions"] = _without_password(self.sessions)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _without_password(url: Any) -> Any:
    if not isinstance(url, str):
        return url
    before, at, host = url.rpartition("@")
    url = f"{before.partition(':')[0]}://…@{host}" if at else url
    return re.sub(r"(?<=password=)[^&]*", "…", url)
