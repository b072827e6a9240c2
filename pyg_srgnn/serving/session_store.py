"""Keeps sessions between requests, in memory or in Redis."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic
from types import NoneType
from typing import Any, NamedTuple, Protocol

from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.utils.extras import pip_install

log = logging.getLogger(__name__)


class MarkedClick(NamedTuple):
    """A click with a type, a time, or both."""

    item: int | str
    type: str | None = None
    time: float | None = None

    @classmethod
    def of(cls, click: int | str | MarkedClick) -> MarkedClick:
        """A click that may be its item alone."""
        return click if isinstance(click, MarkedClick) else cls(click)


Click = int | str | MarkedClick
Items = list[Click]
_PATIENCE = 0.5  # seconds for Redis to answer
_PAUSE = 1.0  # seconds without a request after it has not
_CONNECTIONS = 64  # to Redis; further clicks wait for one
_CLICKS = 10  # of a session in memory, on average, at most
_TEXT = 64  # characters of an id for which it counts as one more click


class Unreachable(Exception):
    """The store of sessions does not answer."""


class Store(Protocol):
    """Keeps the latest clicks of each session for some time after the last one."""

    async def append(self, session: str, click: Click) -> Items:
        """Append a click to a session, and return all its clicks.

        Raises:
            Unreachable: If the click could not be kept.
        """
        ...

    async def delete(self, session: str) -> bool:
        """Delete a session; returns whether there was one.

        Raises:
            Unreachable: If the store does not answer.
        """
        ...

    async def close(self) -> None:
        """Release the resources."""
        ...


class Memory:
    """Sessions in the memory of this process.

    Args:
        ttl: Seconds that a session is kept after its last click.
        longest: Largest number of clicks kept of a session, the latest ones.
        most: Largest number of sessions, with ten clicks each on average, where a long text counts
            as several clicks; the least recent sessions are dropped.
    """

    def __init__(self, ttl: float, longest: int, most: int) -> None:
        self.ttl = ttl
        self.longest = longest
        self.most = most
        # When each expires, its clicks, and their weight; in the order of expiry.
        self._sessions: OrderedDict[str, tuple[float, Items, int]] = OrderedDict()
        self._clicks = 0

    def __len__(self) -> int:
        """Number of sessions kept."""
        self._forget(monotonic())
        return len(self._sessions)

    async def append(self, session: str, click: Click) -> Items:
        """Append a click to a session, and return all its clicks."""
        now = monotonic()
        self._forget(now)
        items = [*self._drop(session), click][-self.longest :]
        clicks = sum(map(_counted, items))
        self._sessions[session] = (now + self.ttl, items, clicks)
        self._clicks += clicks
        while len(self._sessions) > self.most or self._clicks > max(
            _CLICKS * self.most, self.longest
        ):
            self._drop(next(iter(self._sessions)))
        return items

    async def delete(self, session: str) -> bool:
        """Delete a session; returns whether there was one."""
        self._forget(monotonic())
        return bool(self._drop(session))

    async def close(self) -> None:
        """Nothing to release."""

    def _forget(self, now: float) -> None:
        while self._sessions:
            session, (end, *_) = next(iter(self._sessions.items()))
            if end > now:
                return
            self._drop(session)

    def _drop(self, session: str) -> Items:
        """Remove a session; returns its clicks."""
        _, items, clicks = self._sessions.pop(session, (0.0, [], 0))
        self._clicks -= clicks
        return items


def _counted(click: Click) -> int:
    """The weight of a click: a long text counts as several."""
    texts = (one for one in MarkedClick.of(click) if isinstance(one, str))
    return 1 + sum(map(len, texts)) // _TEXT


class Redis:
    """Sessions in a Redis server, which several services may share.

    After a failure Redis is not asked for a second, so that requests do not wait for it.

    Args:
        url: Such as ``redis://127.0.0.1:6379/0``.
        ttl: Seconds that a session is kept after its last click.
        longest: Largest number of clicks kept of a session, the latest ones.
        metrics: Counts the failures.
        password: The password, if the URL has none. (default: None)

    Raises:
        ValueError: If the URL is invalid, or the client is not installed.
    """

    def __init__(
        self, url: str, ttl: float, longest: int, metrics: Metrics, password: str | None = None
    ) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool
            from redis.asyncio import Redis as Client
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import ConnectionError, RedisError, TimeoutError
        except ImportError as error:
            raise ValueError(f"sessions: a Redis URL needs {pip_install('redis')}") from error
        self._errors = (RedisError, OSError, ValueError)
        self._lost = (ConnectionError, TimeoutError, OSError)  # not the fault of one command
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                password=password,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
                retry=Retry(NoBackoff(), 0),  # a click that is sent twice would be kept twice
                max_connections=_CONNECTIONS,
                timeout=_PATIENCE,
            )
        except ValueError:  # the message may contain a part of the password
            raise ValueError(
                "sessions: expected a URL with host, port and database, such as "
                "redis://127.0.0.1:6379/0"
            ) from None
        self._client = Client.from_pool(pool)
        self._milliseconds = round(1000 * ttl)
        self.longest = longest
        self.metrics = metrics
        self._silent_until: float | None = None

    async def append(self, session: str, click: Click) -> Items:
        """Append a click to a session, and return all its clicks.

        Raises:
            Unreachable: If the click could not be kept.
        """
        key = _key(session)
        async with self._client.pipeline(transaction=True) as commands:
            commands.rpush(key, json.dumps(click))
            commands.ltrim(key, -self.longest, -1)
            commands.pexpire(key, self._milliseconds)
            commands.lrange(key, 0, -1)
            *_, items = await self._ask(commands.execute)
        clicks = [one for one in map(_click, items) if one is not None]
        if len(clicks) < len(items):
            log.warning(
                "a session in Redis has %d entries that are no clicks; they are left out",
                len(items) - len(clicks),
                extra={"event": "redis_odd"},
            )
        return clicks

    async def delete(self, session: str) -> bool:
        """Delete a session; returns whether there was one.

        Raises:
            Unreachable: If the store does not answer.
        """
        return bool(await self._ask(self._client.delete, _key(session)))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, command: Callable[..., Awaitable[Any]], *arguments: str) -> Any:
        """Send a command, and return the answer.

        Raises:
            Unreachable: If there is none.
        """
        if self._silent_until is not None and monotonic() < self._silent_until:
            self.metrics.store_errors.inc()
            raise Unreachable
        try:
            answer = await command(*arguments)
        except self._errors as error:
            self.metrics.store_errors.inc()
            if not isinstance(error, self._lost):
                log.error("Redis refuses: %s", error, extra={"event": "redis_refuses"})
                raise Unreachable from error
            if self._silent_until is None:
                log.error("Redis is lost: %s", error, extra={"event": "redis_lost"})
            self._silent_until = monotonic() + _PAUSE
            raise Unreachable from error
        if self._silent_until is not None:
            log.info("Redis is back", extra={"event": "redis_back"})
            self._silent_until = None
        return answer


def open_store(settings: Settings, metrics: Metrics) -> Store | None:
    """Open the store that the settings name: none, ``memory`` or a Redis URL.

    Raises:
        ValueError: If it is no such URL, or the client of Redis is not installed.
    """
    where, ttl, longest = settings.sessions, settings.session_ttl, settings.max_clicks
    if where is None:
        return None
    if where == "memory":
        return Memory(ttl, longest, settings.max_kept)
    return Redis(where, ttl, longest, metrics, settings.redis_password)


def _click(entry: bytes) -> Click | None:
    """Parse an entry of a list in Redis; None if it is no click."""
    try:
        found = json.loads(entry)
    except (ValueError, RecursionError):
        return None
    if type(found) in (int, str):
        return found  # type: ignore[no-any-return]
    if not (isinstance(found, list) and len(found) == 3 and type(found[0]) in (int, str)):
        return None
    marked = MarkedClick(*found)
    known = isinstance(marked.type, str | None) and type(marked.time) in (int, float, NoneType)
    return marked if known else None


def _key(session: str) -> str:
    return f"srgnn:session:{session}"
