"""What a service is told: where it listens, and what it takes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pyg_srgnn.serving.hosts import is_loopback, is_name

# Settings that stand in environment variables: on a command line they are seen by everybody.
SECRETS = {"token": "SRGNN_TOKEN", "redis_password": "SRGNN_REDIS_PASSWORD"}


def secrets() -> dict[str, Any]:
    """The settings that the environment holds."""
    return {name: os.environ.get(variable) or None for name, variable in SECRETS.items()}


@dataclass(frozen=True)
class Settings:
    """What a service is told; every value is checked.

    Args:
        checkpoint: A run directory, checkpoint file or exported folder.
        names: A file of item names for the page; .csv, .tsv or .json. (default: none)
        host: The address to listen on. (default: this machine alone)
        port: The port; 0 takes a free one. (default: 8000)
        open: Whether others may ask without a token. (default: False)
        hosts: Further names of the service, such as that of a proxy in front. Without a token, or
            where names are given, a request with any other name than these and localhost in its
            Host or Origin is refused. (default: none)
        token: What every request must bear, but for /health and /ready. (default: none)
        threads: Threads of the model; null lets torch choose. (default: 1, which leaves the others
            to what surrounds it: more are slower but of the largest catalogues)
        batch_size: Sessions scored at once, at most. (default: 64)
        batch_wait_ms: How long the first session of a batch waits for others, milliseconds.
            (default: 0, for what has come while the batch before was scored)
        max_queue: Sessions that may wait; what comes beyond is refused with 503. (default: 1024)
        max_clicks: Clicks of a session. (default: 1000)
        max_k: Items asked for. (default: 1000)
        max_sessions: Sessions of a batch request. (default: 1000)
        max_body: Bytes of a request's body. (default: 1 MiB)
        max_connections: Open connections; at the limit the one that has been idle longest is
            closed. (default: 1000)
        max_per_address: Open connections of one address; null where a proxy stands in front, whose
            address all requests have. (default: 500)
        request_timeout: Seconds from a request's first byte to its last, and seconds in which the
            client must read what is sent. (default: 10)
        sessions: Where sessions are kept: null (nowhere), "memory", or a Redis URL.
            (default: null)
        redis_password: Of a Redis whose URL has none. (default: none)
        session_ttl: Seconds after its last click that a session is kept. (default: 1800)
        max_kept: Sessions kept in memory; the one that was silent for longest goes.
            (default: 100000)
        reload_seconds: How often to look for a new artifact; 0 never does, and SIGHUP always.
            (default: 0)
        reload_timeout: Seconds that a new model has to be loaded and to answer; else the old one
            stays. (default: 120)
        drain_seconds: How long after SIGTERM requests are still taken while /ready says no.
            (default: 1)
        stop_seconds: How long requests in flight have to be finished then. (default: 30)
        log_requests: Whether every request is logged. (default: False)
        log_sessions: Whether the logs of requests hold items clicked. (default: False)

    Raises:
        ValueError: If values are not allowed; names each, what was found and what is expected.
    """

    checkpoint: str
    names: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    open: bool = False
    hosts: Sequence[str] | None = None
    token: str | None = field(default=None, repr=False)
    threads: int | None = 1
    batch_size: int = 64
    batch_wait_ms: float = 0.0
    max_queue: int = 1024
    max_clicks: int = 1000
    max_k: int = 1000
    max_sessions: int = 1000
    max_body: int = 1 << 20
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
    log_requests: bool = False
    log_sessions: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        wrong = [
            f"{one.name}={_shown(one.name, getattr(self, one.name))}: expected {expected}"
            for one in fields(self)
            if (expected := _unmet(one.name, getattr(self, one.name))) is not None
        ]
        if wrong:
            raise ValueError("the service cannot be started so\n  " + "\n  ".join(wrong))
        if not (self.open or self.token or is_loopback(self.host)):
            raise ValueError(
                f"host={self.host}: others would reach the service. Set a token in the environment "
                f"variable {SECRETS['token']}, which every request must bear "
                f"(Authorization: Bearer …), or say open=true to let everybody ask"
            )

    def __repr__(self) -> str:
        """Every setting, but for what is secret."""
        names = [one.name for one in fields(self) if one.repr]
        return f"Settings({', '.join(f'{one}={_shown(one, getattr(self, one))}' for one in names)})"


def _shown(name: str, value: Any) -> str:
    if name in SECRETS:
        return "…"
    if name == "sessions" and isinstance(value, str):  # a URL may hold a password
        before, at, host = value.rpartition("@")
        value = f"{before.partition(':')[0]}://…@{host}" if at else value
        value = re.sub(r"(?<=password=)[^&]*", "…", value)
    return repr(value)


_WHOLE = {
    "batch_size": 1,
    "max_queue": 1,
    "max_clicks": 1,
    "max_k": 1,
    "max_sessions": 1,
    "max_body": 1,
    "max_connections": 1,
    "max_kept": 1,
}
_LONGER_THAN_0 = ("request_timeout", "reload_timeout", "session_ttl", "stop_seconds")
_SECONDS = ("batch_wait_ms", "reload_seconds", "drain_seconds")


def _unmet(name: str, value: Any) -> str | None:
    """What is expected of a value, if it is something else."""
    if name in _WHOLE:
        least = _WHOLE[name]
        return None if type(value) is int and value >= least else f"a whole number >= {least}"
    if name in _LONGER_THAN_0 or name in _SECONDS:
        positive = name in _LONGER_THAN_0
        fits = type(value) in (int, float) and math.isfinite(value)
        fits = fits and (value > 0 if positive else value >= 0)
        return None if fits else f"a number {'> 0' if positive else '>= 0'}"
    if name == "port":
        fits = type(value) is int and 0 <= value < 65536
        return None if fits else "a whole number from 0 to 65535"
    if name in ("threads", "max_per_address"):
        fits = value is None or (type(value) is int and value >= 1)
        return None if fits else "a whole number >= 1, or null"
    if name == "sessions":
        schemes = ("redis://", "rediss://", "unix://")
        fits = value in (None, "memory") or (isinstance(value, str) and value.startswith(schemes))
        return None if fits else "memory, a URL such as redis://127.0.0.1:6379/0, or null"
    if name in ("open", "log_requests", "log_sessions"):
        return None if type(value) is bool else "true or false"
    if name == "hosts":
        names = value if isinstance(value, (list, tuple)) else []
        fits = value is None or (bool(names) and all(map(is_name, names)))
        return None if fits else "names such as [shop.example], without scheme and port, or null"
    if name == "token" and isinstance(value, str):
        fits = value.isascii() and value.isprintable() and " " not in value and len(value) >= 8
        return None if fits else "at least 8 characters of ASCII without blanks"
    needed = name in ("checkpoint", "host")
    fits = (value is None and not needed) or (isinstance(value, str) and bool(value))
    return None if fits else "a text" if needed else "a text, or null"
