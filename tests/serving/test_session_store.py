"""Sessions that the service keeps, in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.serving import session_store as sessions
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.session_store import Memory, Redis, Unreachable
from pyg_srgnn.serving.settings import Settings
from tests.serving.running import eventually, in_process, in_thread
from tests.serving.shop import untrained

IDS = list(range(100, 130))


# In memory.


@pytest.fixture
def clock(monkeypatch):
    """A time that the test makes pass."""
    now = [1000.0]
    monkeypatch.setattr(sessions, "monotonic", lambda: now[0])
    return now


def appended(store, *clicks):
    async def append():
        return [await store.append(*click) for click in clicks]

    return asyncio.run(append())


def test_clicks_are_appended_to_their_session(clock):
    store = Memory(ttl=60, longest=10, most=10)
    found = appended(store, ("a", 1), ("b", "x"), ("a", 2), ("a", 1))
    assert found == [[1], ["x"], [1, 2], [1, 2, 1]]


def test_the_latest_clicks_are_kept(clock):
    store = Memory(ttl=60, longest=3, most=10)
    assert appended(store, *(("a", i) for i in range(5)))[-1] == [2, 3, 4]


def test_a_session_ends_some_time_after_its_last_click(clock):
    store = Memory(ttl=60, longest=10, most=10)
    appended(store, ("a", 1), ("b", 1))
    clock[0] += 59
    assert appended(store, ("a", 2)) == [[1, 2]]
    clock[0] += 2
    assert len(store) == 1  # b is over
    assert appended(store, ("b", 3), ("a", 3)) == [[3], [1, 2, 3]]
    clock[0] += 60
    assert len(store) == 0 and appended(store, ("a", 4)) == [[4]]


def test_the_session_that_was_silent_for_longest_makes_room(clock):
    store = Memory(ttl=60, longest=10, most=3)
    appended(store, ("a", 1), ("b", 1), ("c", 1), ("a", 2), ("d", 1))
    assert len(store) == 3
    assert appended(store, ("a", 3), ("b", 2)) == [[1, 2, 3], [2]]


def test_clicks_are_bounded_in_all(clock):
    store = Memory(ttl=60, longest=40, most=5)  # ten of each on average
    appended(store, *((session, i) for session in "abc" for i in range(20)))
    assert len(store) == 2
    assert appended(store, ("b", 20), ("a", 1)) == [list(range(21)), [1]]


@pytest.mark.slow
@pytest.mark.parametrize(("clicks", "text", "most"), [(5, "", 24), (2, "🥾" * 500, 60)])
def test_the_memory_of_sessions_is_bounded(clicks, text, most):
    """MB of twenty thousand sessions and some more: of numbers, and of the longest texts."""
    store = Memory(ttl=60, longest=1000, most=20_000)

    async def append():
        for i in range(clicks * 22_000):
            await store.append(f"session {i // clicks}", f"{text}{i}" if text else 10**12 + i)

    tracemalloc.start()
    try:
        asyncio.run(append())
        assert tracemalloc.get_traced_memory()[1] < most << 20
    finally:
        tracemalloc.stop()
    assert len(store) == 20_000 or text


def test_a_session_is_forgotten(clock):
    store = Memory(ttl=60, longest=10, most=3)
    appended(store, ("a", 1))
    assert asyncio.run(store.delete("a")) and not asyncio.run(store.delete("a"))
    assert appended(store, ("a", 2)) == [[2]]


# In Redis.


class RedisServer:
    """A Redis of the test's own, which keeps nothing."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self.process = subprocess.Popen(
            ["redis-server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, "redis-server does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, "redis-server has ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as client:
                client.sendall(b"PING\r\n")
                return client.recv(100).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here (Debian: apt install redis-server)")
    server = RedisServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis():
    with running_redis() as server:
        yield server


def with_redis(server, script, ttl=60.0, longest=10):
    async def main():
        metrics = Metrics()
        store = Redis(server.url, ttl, longest, metrics)
        try:
            return await script(store, metrics)
        finally:
            await store.close()

    return asyncio.run(main())


def test_redis_keeps_clicks_as_memory_does(redis):
    clicks = [("a", 1), ("b", "1"), ("a", "Größe ½ 🥾"), ("a", 2), ("a", 1), ("b", -(2**63))]

    async def script(store, _):
        found = [await store.append(*click) for click in clicks]
        return found, [await store.delete(session) for session in "aac"]

    found, deleted = with_redis(redis, script, longest=3)
    assert found == appended(Memory(60, 3, 10), *clicks)
    assert deleted == [True, False, False]


def test_redis_forgets_a_session_in_time(redis):
    async def script(store, _):
        await store.append("a", 1)
        left = await store._client.pttl("srgnn:session:a")
        await store._client.pexpire("srgnn:session:a", 100)
        await store.append("a", 2)  # from which the time runs anew
        return left, await store._client.pttl("srgnn:session:a")

    for left in with_redis(redis, script, ttl=60.0):
        assert 50_000 < left <= 60_000


def test_services_share_a_session(redis):
    async def script(store, metrics):
        other = Redis(redis.url, 60, 10, metrics)
        found = [await store.append("a", 1), await other.append("a", 2), await store.append("a", 3)]
        await other.close()
        return found

    assert with_redis(redis, script) == [[1], [1, 2], [1, 2, 3]]


def test_more_clicks_at_once_than_connections(redis, monkeypatch):
    monkeypatch.setattr(sessions, "_PATIENCE", 30)  # of a busy machine

    async def script(store, metrics):
        found = await asyncio.gather(*(store.append(f"s{i}", i) for i in range(200)))
        return found, metrics.store_errors._value.get()

    assert with_redis(redis, script) == ([[i] for i in range(200)], 0)


def test_a_lost_redis_is_told_once_counted_always_and_found_again(redis, clock, caplog):
    caplog.set_level(logging.INFO)

    async def script(store, metrics):
        assert await store.append("a", 1) == [1]
        redis.stop()
        for asked in range(1, 4):
            with pytest.raises(Unreachable):
                await store.append("a", 2)
            assert metrics.store_errors._value.get() == asked
            clock[0] += 0.4  # within a second it is not even tried
        with pytest.raises(Unreachable):
            await store.delete("a")
        redis.start()
        clock[0] += 2
        return await store.append("a", 3)

    assert with_redis(redis, script) == [3]
    told = [record.event for record in caplog.records if record.name.startswith("pyg_srgnn")]
    assert told == ["redis_lost", "redis_back"]


def test_what_another_program_left_there_is_no_error_of_ours(redis):
    async def script(store, metrics):
        await store._client.set("srgnn:session:a", "text")
        await store._client.rpush("srgnn:session:b", "[1]", "true", '{"a": 2}', "3")
        with pytest.raises(Unreachable):
            await store.append("a", 1)
        return await store.append("b", 4), await store.append("c", 5)  # which do not suffer

    assert with_redis(redis, script) == ([3, 4], [5])


ODD = [b"text", b"", b"\xff", b"{", b"[" * 100_000, b"9" * 5000, b"NaN", b"null", b"1.5", b"false"]


def test_a_list_that_holds_no_json(redis, caplog):
    async def script(store, _):
        await store._client.rpush("srgnn:session:a", *ODD)
        await store._client.rpush("srgnn:session:b", "1", "nonsense", '"two"')
        return await store.append("a", 5), await store.append("b", 6), await store.append("c", 7)

    assert with_redis(redis, script, longest=20) == ([5], [1, "two", 6], [7])
    told = [record for record in caplog.records if getattr(record, "event", "") == "redis_odd"]
    assert [record.args[0] for record in told] == [len(ODD), 1]


def test_a_list_that_holds_no_json_over_http(checkpoint, redis):
    with in_thread(checkpoint, sessions=redis.url) as running:
        running.wait(running.service.store._client.rpush("srgnn:session:a", *ODD))
        told = click(running, "a", 103).json()
        assert (told["clicks"], told["kept"], told["unknown"]) == (1, True, 0)


@pytest.mark.parametrize("url", ["redis://:pa/ss@127.0.0.1/0", "redis://:x@127.0.0.1:pass/0"])
def test_a_url_that_is_none_is_not_shown(url):
    with pytest.raises(ValueError) as error:
        Redis(url, 60, 10, Metrics())
    assert "'pa" not in str(error.value) and error.value.__suppress_context__


@pytest.mark.slow
def test_a_password_of_redis_from_the_environment(checkpoint, redis, monkeypatch, tmp_path):
    with socket.create_connection(("127.0.0.1", redis.port)) as client:
        client.sendall(b"CONFIG SET requirepass hunter22\r\n")
        assert client.recv(100) == b"+OK\r\n"
    monkeypatch.chdir(tmp_path)
    for password, kept in (("hunter22", True), ("hunter23", False)):
        arguments = ("--sessions", redis.url, "--log-requests", "--log-sessions")
        with in_process(checkpoint, *arguments, SRGNN_REDIS_PASSWORD=password) as process:
            assert click(process, "a", 103).json()["kept"] is kept
        assert "hunter" not in "".join(process.lines)
    assert not list(tmp_path.rglob("*"))  # no config.yaml either


def test_a_password_of_redis_is_not_shown():
    secret = {"redis_password": "hunter22", "token": "hunter22-token"}
    for url in (
        "redis://:hunter22@127.0.0.1:6379/0",
        "rediss://me:hunter22@h@example.org",
        "redis://127.0.0.1/0?password=hunter22&db=1",
    ):
        assert "hunter22" not in repr(Settings("model", sessions=url, **secret))
        with pytest.raises(ValueError, match=r"'sessions' must be .*…") as error:
            Settings("model", sessions="x" + url, **secret)
        assert "hunter22" not in str(error.value)
    assert "127.0.0.1:6379" in repr(Settings("model", sessions="redis://127.0.0.1:6379/0"))


def test_a_url_that_is_none():
    with pytest.raises(ValueError, match="port"):
        Redis("redis://127.0.0.1:port/0", 60, 10, Metrics())


# Over HTTP.


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model"), IDS)


def best(checkpoint, session, **more):
    return [raw for raw, _ in Recommender.load(checkpoint).recommend([session], 5, **more)[0]]


def click(running, session, item, **more):
    return running.post(f"/sessions/{session}/click", {"item": item, "k": 5} | more)


def ids(response):
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


@pytest.fixture(params=["memory", "redis"])
def where(request):
    return "memory" if request.param == "memory" else request.getfixturevalue("redis").url


@pytest.mark.slow
def test_a_click_is_answered_with_its_session(checkpoint, where):
    with in_thread(checkpoint, sessions=where, max_clicks=4) as running:
        assert ids(click(running, "a", 103)) == best(checkpoint, [103])
        assert ids(click(running, "b", 120)) == best(checkpoint, [120])
        response = click(running, "a", 111, exclude_seen=True)
        assert ids(response) == best(checkpoint, [103, 111], exclude_seen=True)
        told = response.json()
        del told["items"]
        assert told.pop("log_probabilities") is False
        assert told == {"clicks": 2, "kept": True, "unknown": 0, "popular": False}
        told = click(running, "a", "who?").json()
        assert (told["clicks"], told["unknown"]) == (3, 1)
        for item in (104, 105):
            last = click(running, "a", item)
        assert last.json()["clicks"] == 4
        assert ids(last) == best(checkpoint, [111, 104, 105])
        for deleted in (True, False):
            assert running.ask("DELETE", "/sessions/a").json() == {"deleted": deleted}
        assert ids(click(running, "a", 103)) == best(checkpoint, [103])


BAD = {
    "a session's id with a blank": ("a%20b", {"item": 100}),
    "a long one": ("x" * 129, {"item": 100}),
    "another script": ("%C3%A4", {"item": 100}),
    "no item": ("a", {}),
    "items": ("a", {"items": [100]}),
    "an item that is none": ("a", {"item": 1.5}),
    "k": ("a", {"item": 100, "k": 0}),
}


def test_clicks_that_are_refused(checkpoint):
    with in_thread(checkpoint, sessions="memory") as running:
        for session, body in BAD.values():
            response = running.post(f"/sessions/{session}/click", body)
            assert response.status_code == 422 and isinstance(response.json()["detail"], str)
        assert len(running.service.store) == 0
        assert running.ask("DELETE", "/sessions/a%20b").status_code == 422


@pytest.mark.slow
def test_recommendations_go_on_without_redis(checkpoint, redis):
    with in_thread(checkpoint, sessions=redis.url) as running:
        click(running, "a", 103)
        redis.stop()
        response = click(running, "a", 111)
        assert ids(response) == best(checkpoint, [111])  # what the request itself says
        assert (response.json()["clicks"], response.json()["kept"]) == (1, False)
        assert ids(running.post("/recommend", {"items": [103, 111], "k": 5})) == best(
            checkpoint, [103, 111]
        )
        assert running.ask("DELETE", "/sessions/a").status_code == 503
        assert running.metric("srgnn_redis_errors_total") == 2
        assert running.ready()
        redis.start()
        eventually(lambda: click(running, "b", 104).json()["kept"], "Redis is back")
        assert click(running, "b", 105).json()["clicks"] >= 2


def test_a_redis_that_does_not_answer_is_not_waited_for(checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with in_thread(checkpoint, sessions=url) as running:
            assert ids(click(running, "a", 103)) == best(checkpoint, [103])
            assert not click(running, "a", 103).json()["kept"]
            assert running.metric("srgnn_redis_errors_total") == 2


def test_the_password_of_redis_is_not_logged(checkpoint, caplog):
    caplog.set_level(logging.DEBUG)
    with in_thread(checkpoint, sessions="redis://:hunter22@127.0.0.1:1/0") as running:
        assert not click(running, "a", 103).json()["kept"]
    told = json.dumps([vars(record) for record in caplog.records], default=str)
    assert "redis_lost" in told and "hunter22" not in told
