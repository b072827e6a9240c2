"""Several processes behind one port: they answer, change and end as one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import requests

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.answer import Answer
from pyg_srgnn.serving import serve
from pyg_srgnn.serving.experiment import AnswerLog
from pyg_srgnn.serving.models import Models
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.sockets import listen, listen_together
from pyg_srgnn.serving.worker_process import WorkerProcess
from pyg_srgnn.serving.workers import Workers
from tests.export.texts import IDS, checkpoint
from tests.serving.running import eventually, in_process
from tests.serving.test_faults import exists, relink, started

TOKEN = "open-sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"items": [IDS[0], IDS[5]], "k": 5}
ENOUGH = 12  # new connections, of which both of two workers get some


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two exports that recommend differently."""
    root = tmp_path_factory.mktemp("exports")
    for name, model in (("old", "mixture of sums"), ("new", "sum")):
        export(checkpoint(model), root / name)
    assert best(root / "old") != best(root / "new")
    return root


@pytest.fixture
def served(exports, tmp_path):
    return relink(tmp_path / "served", exports / "old")


@contextmanager
def two(served, *arguments):
    """A service of two workers."""
    given = ("--workers=2", "--sessions=memory", *arguments)
    with in_process(served, *given, SRGNN_TOKEN=TOKEN) as process:
        process.client.headers.update(BEARER)
        process.event("ready")  # all of them
        yield process


def best(folder):
    return [raw for raw, _ in Recommender.load(folder).recommend([BODY["items"]], 5)[0]]


def ask(process, method, path, body=None):
    """A request on a connection of its own, which may come to any worker."""
    answer = requests.request(method, process.url + path, json=body, headers=BEARER, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def everywhere(process, *request):
    """The answers to requests that come to all workers."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda _: ask(process, *request), range(ENOUGH)))


def recommended(answer):
    return [item["id"] for item in answer["items"]]


def pids(process):
    """The workers that have not ended."""
    return [one["pid"] for one in process.events("worker_started") if exists(one["pid"])]


@pytest.mark.slow
def test_they_are_one_service(served, exports, tmp_path):
    answers = tmp_path / "answers.jsonl"
    with two(served, "--log-requests", f"--answers={answers}") as process:
        # They answer alike, and both do.
        wanted = best(exports / "old")
        assert all(
            recommended(one) == wanted for one in everywhere(process, "POST", "/recommend", BODY)
        )
        answered = {line["worker"] for line in process.events("request")}
        assert answered == {1, 2}
        # The metrics are the sums of both, whichever is asked.
        name = 'srgnn_requests_total{endpoint="/recommend",status="200"}'
        assert process.metric(name) == ENOUGH and process.metric("srgnn_workers") == 2
        assert process.metric("srgnn_ready") == 1
        # A session is kept for both.
        clicks = everywhere(process, "POST", "/sessions/a/click", {"item": IDS[1]})
        assert sorted(one["clicks"] for one in clicks) == list(range(1, ENOUGH + 1))
        gone = everywhere(process, "DELETE", "/sessions/a")
        assert Counter(one["deleted"] for one in gone) == {True: 1, False: ENOUGH - 1}
        # Items and attributes come to both, or to none.
        assert ask(process, "POST", "/items/add", {"ids": ["chair"], "texts": ["red thing"]})
        columns = {"ids": ["chair", IDS[2]], "columns": {"stock": [True, False]}}
        assert ask(process, "PUT", "/items/attributes", columns)["unknown"] == 0
        again = process.post("/items/add", {"ids": ["chair"], "texts": ["red thing"]})
        assert again.status_code == 422 and "in the catalogue already: 'chair'" in again.text
        only = {"items": ["chair"], "where": {"stock": True}}
        expected = {"recommended": ["chair"], "unknown": 0}
        assert_all_know(process, only, expected)
        # One that is killed is started again, with all of that, and the other goes on.
        (first, second) = pids(process)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: process.events("worker_ended"), "it is noticed")
        assert_all_know(process, only, expected)
        eventually(lambda: process.metric("srgnn_workers") == 2, "there are two again")
        assert second in pids(process)
        assert_all_know(process, only, expected)
        assert process.metric("srgnn_worker_deaths_total") == 1
        assert process.metric("srgnn_added_items") == 1
        assert process.metric(name) == 4 * ENOUGH  # the dead one's count as well
        # Both write whole lines to one file.
        lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
        assert len(lines) == 5 * ENOUGH
        workers = pids(process)
        process.signal(signal.SIGTERM)
        assert process.end() == 0 and len(process.events("stopped")) == 1
        assert not any(map(exists, workers))


def assert_all_know(process, asked, expected):
    for answer in everywhere(process, "POST", "/recommend", asked):
        assert {"recommended": recommended(answer), "unknown": answer["unknown"]} == expected


@pytest.mark.slow
def test_a_new_model_comes_to_all_and_no_request_is_lost(served, exports, tmp_path):
    old, new = best(exports / "old"), best(exports / "new")
    stop, found = threading.Event(), []

    def asking():
        client = requests.Session()
        while not stop.wait(0.01):  # a model is tried out by a process that is nice to others
            answer = client.post(process.url + "/recommend", json=BODY, headers=BEARER, timeout=60)
            found.append((answer.status_code, tuple(recommended(answer.json()))))

    with two(served) as process:
        clients = [threading.Thread(target=asking, daemon=True) for _ in range(2)]
        for client in clients:
            client.start()
        before = pids(process)
        relink(served, exports / "new")
        process.signal(signal.SIGHUP)
        eventually(lambda: process.events("reloaded"), "the new model is served", 120)
        assert all(
            recommended(one) == new for one in everywhere(process, "POST", "/recommend", BODY)
        )
        # One that cannot be served comes to none.
        shutil.copytree(exports / "old", tmp_path / "broken")
        weights = tmp_path / "broken" / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        relink(served, tmp_path / "broken")
        process.signal(signal.SIGHUP)
        (told,) = eventually(lambda: process.events("reload_failed"), "it is tried out", 120)
        assert "weights.safetensors" in told["message"]
        assert all(
            recommended(one) == new for one in everywhere(process, "POST", "/recommend", BODY)
        )
        stop.set()
        for client in clients:
            client.join(60)
        assert set(found) == {(200, tuple(old)), (200, tuple(new))}
        assert pids(process) == before
        for result in ("ok", "failed"):
            assert process.metric(f'srgnn_reloads_total{{result="{result}"}}') == 1
        process.signal(signal.SIGKILL)  # workers do not outlive it
        assert process.end() == -signal.SIGKILL
        eventually(lambda: not any(map(exists, before)), "the workers end")


@pytest.mark.slow
def test_what_no_worker_can_serve_ends_the_service(served, tmp_path):
    (tmp_path / "names.csv").write_text("number,text\n1,Shoe\n")
    done = started(served, "--port=0", "--workers=2", f"--names={tmp_path / 'names.csv'}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    *_, told = done.stderr.splitlines()
    assert "names.csv" in told and "id and name" in told


class Fake:
    """A worker that opens a new model, ends, or is late."""

    def __init__(self, *answers):
        self.answers = dict(zip(("prepare", "forget", "take"), answers, strict=False))
        self.serves, self.killed, self.asked = True, False, []

    async def ask(self, function, *given, seconds=None):
        self.asked.append(function)
        error = self.answers.get(function)
        if isinstance(error, ConnectionError):
            self.serves = False
        if error is not None:
            raise error

    def kill(self):
        self.serves, self.killed = False, True

    def close(self):
        pass


LATE, ENDED = TimeoutError("late"), ConnectionError("it has ended")


@pytest.mark.parametrize(
    ("answers", "told", "asked", "killed"),
    [
        ([(), ()], None, ["prepare", "take"], []),
        ([(), (ENDED,)], None, ["prepare", "take"], []),
        ([(ENDED,), (ENDED,)], "it has ended", ["prepare"], []),
        ([(LATE,), (LATE,)], "late", ["prepare", "forget"], []),
        ([(), (LATE,)], "late", ["prepare", "forget"], []),
        ([(LATE, LATE), ()], "late", ["prepare", "forget"], [0]),
        ([(ENDED,), (LATE,)], "late", ["prepare"], []),
        ([(), (None, None, LATE)], None, ["prepare", "take"], [1]),
    ],
)
def test_a_model_is_served_by_all_or_by_none(tmp_path, answers, told, asked, killed):
    """A worker that is late goes on with the old one, and none is killed but one that hangs."""

    async def script():
        workers = Workers(Settings("nowhere", port=0, workers=2), tmp_path)
        for worker in workers.workers:
            worker.close()
        workers.workers = fakes = [Fake(*each) for each in answers]
        (model,) = workers.models
        model.file = tmp_path / "old"
        context = pytest.raises(OSError, match=told) if told else nullcontext()
        with context:
            await workers._spread(model, tmp_path / "new")
        assert model.file == tmp_path / ("old" if told else "new")
        assert fakes[0].asked == asked
        assert [number for number, each in enumerate(fakes) if each.killed] == killed

    asyncio.run(script())


class Starting(Fake):
    """A worker that starts when there is a model already, and cannot serve it."""

    pid, facts = 0, {}

    async def start(self):
        self.serves = False

    async def ended(self):
        return -9

    def signal(self, number):
        pass


def test_why_no_worker_can_serve_is_told(monkeypatch, tmp_path):
    async def script():
        workers = Workers(Settings("nowhere", port=0, workers=2), tmp_path)
        for worker in workers.workers:
            worker.close()
        workers.models[0].file = tmp_path / "model"
        workers.workers = [Starting(ValueError("names.csv: there is no column id"))]
        await workers.run()

    monkeypatch.setattr("pyg_srgnn.serving.workers.mark_process_dead", lambda pid: None)
    monkeypatch.setattr(Workers, "_load", lambda self: asyncio.sleep(0))
    with pytest.raises(ValueError, match=r"^names\.csv: there is no column id"):
        asyncio.run(script())


def test_a_worker_that_is_late_is_not_killed():
    class Silent:
        async def call(self, *asked):
            await asyncio.sleep(60)

    worker = WorkerProcess.__new__(WorkerProcess)
    worker._channel, worker.serves = Silent(), True
    with pytest.raises(TimeoutError, match=r"has not answered within 0\.01 seconds"):
        asyncio.run(worker.ask("prepare", seconds=0.01))
    assert worker.serves


def test_what_is_forgotten_while_it_is_opened_is_not_served(monkeypatch, tmp_path):
    first, second = (asyncio.Event() for _ in range(2))
    opening = iter([(first, "first"), (second, "second")])

    async def opened(work):
        event, model = next(opening)
        await event.wait()
        return model

    async def script():
        models = Models(Settings("nowhere"), Metrics())
        monkeypatch.setattr("pyg_srgnn.serving.models._aside", opened)
        monkeypatch.setattr(models, "_serve", served.append)
        one = asyncio.create_task(models.prepare(tmp_path, None))
        await asyncio.sleep(0)
        models.forget()
        other = asyncio.create_task(models.prepare(tmp_path, None))
        await asyncio.sleep(0)
        second.set()
        await other
        first.set()
        await one
        models.take()

    served: list[str] = []
    asyncio.run(script())
    assert served == ["second"]


def test_several_need_linux(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(
        ValueError, match=r"workers=2: several workers need Linux.*expected 1 on darwin"
    ):
        serve(Settings("nowhere", workers=2))
    with pytest.raises(ValueError, match="'workers' must be a whole number >= 1"):
        Settings("nowhere", workers=0)


def test_the_sockets_of_a_service_share_its_port_alone():
    sockets = listen_together("127.0.0.1", 0, 2)
    port = sockets[0].getsockname()[1]
    assert [one.getsockname()[1] for one in sockets] == [port, port]
    for other in (lambda: listen("127.0.0.1", port), lambda: listen_together("127.0.0.1", port, 2)):
        with pytest.raises(OSError, match=f"port={port}: cannot listen there"):
            other()
    for one in sockets:
        one.close()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_lines_of_several_logs_of_answers_do_not_mix(tmp_path: Path):
    long = Answer([(f"item {i}", 0.0) for i in range(5_000)], [], False, False)
    file = tmp_path / "answers.jsonl"
    file.write_text("cut off")

    def write(name: str) -> None:
        log = AnswerLog(file)  # as a process of its own opens it
        for _ in range(20):
            log.write(name, "A", ["x"], long)
        log.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    first, *lines = file.read_text().splitlines()
    assert first == "cut off"
    assert Counter(json.loads(line)["session"] for line in lines) == dict.fromkeys("abcd", 20)
