"""What goes wrong around a service: clients, files, signals, ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy
import onnx
import pytest
import requests
import torch
from onnx import TensorProto, helper, numpy_helper

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.export.write import export
from tests.inference.test_artifact import sign
from tests.results import run_result
from tests.serving.running import eventually, in_process, in_thread
from tests.serving.shop import untrained

pytestmark = pytest.mark.slow

IDS = list(range(100, 140))
BODY = {"items": [103, 111], "k": 5}
REQUEST = json.dumps(BODY).encode()
HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(REQUEST)
WHOLE = HEAD + LENGTH + b"\r\n" + REQUEST
# Its head is answered with 100 once the service waits for the body.
EXPECTS = HEAD + LENGTH + b"Expect: 100-continue\r\n\r\n"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two exported models of the same items that recommend differently."""
    root = tmp_path_factory.mktemp("exports")
    for name, ids in (("old", IDS), ("new", IDS[::-1])):
        (root / f"{name}_run").mkdir()
        export(Checkpoint.load(untrained(root / f"{name}_run", ids)), root / name)
    return root


@pytest.fixture
def served(exports, tmp_path):
    """A folder that can be made another one at once: a link."""
    return relink(tmp_path / "served", exports / "old")


def relink(link, target):
    aside = link.with_suffix(".aside")
    aside.symlink_to(target)
    aside.replace(link)
    return link


def best(folder):
    return [raw for raw, _ in Recommender.load(folder).recommend([BODY["items"]], 5)[0]]


def recommended(running):
    response = running.post("/recommend", BODY)
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


@pytest.fixture(scope="module")
def running(exports):
    """A service for tests that leave it as it is."""
    with in_thread(exports / "old") as running:
        yield running


def connect(running):
    return socket.create_connection(running.address, 30)


def begin(running):
    """A connection on which the service waits for the body of a request."""
    client = connect(running)
    client.sendall(EXPECTS)
    assert client.recv(100).startswith(b"HTTP/1.1 100 ")
    return client


def has_time(running):
    """Requests of a service with a short timeout may last longer from now on."""
    running.server.config.http_protocol_class.request_timeout = 60


def answer(client):
    """Everything until the service closes."""
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


# Clients.


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST /recommend HTTP/1.1\r\nHost:",
        HEAD + b"Content-Length: 100\r\n\r\n" + b'{"items"',
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_slow_client_does_not_hold_a_connection(served, begun):
    with in_thread(served, request_timeout=0.3) as running, connect(running) as client:
        client.sendall(begun)
        assert answer(client).startswith(b"HTTP/1.1 408 ")
        has_time(running)
        assert recommended(running)
        assert running.metric('srgnn_requests_total{endpoint="/recommend",status="500"}') == 0


def test_a_client_that_drips(served):
    with in_thread(served, request_timeout=0.3) as running, connect(running) as client:
        client.settimeout(0.02)
        with pytest.raises(OSError):
            for byte in HEAD * 100:
                client.sendall(bytes([byte]))
                try:
                    found = client.recv(100)
                except TimeoutError:
                    continue
                assert found.startswith(b"HTTP/1.1 408 ") or not found
                raise OSError("closed")


def test_a_later_request_of_a_connection_has_its_own_time(served):
    def first():
        """A connection with one answer; a busy machine may be too late for it."""
        client = connect(running)
        client.sendall(WHOLE)
        if client.recv(1 << 16).startswith(b"HTTP/1.1 200 "):
            return client
        client.close()
        return None

    with (
        in_thread(served, request_timeout=0.5) as running,
        eventually(first, "an answer in time") as client,
        connect(running) as other,
    ):
        assert answer(other).startswith(b"HTTP/1.1 408 ")  # so the first one's time is over
        has_time(running)
        client.sendall(WHOLE)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        running.server.config.http_protocol_class.request_timeout = 0.5
        client.sendall(HEAD)
        assert answer(client).startswith(b"HTTP/1.1 408 ")


def test_requests_one_behind_another(running):
    with connect(running) as client:
        client.sendall(
            WHOLE * 3 + WHOLE.replace(b"Host: localhost", b"Host: localhost\r\nConnection: close")
        )
        assert answer(client).count(b"HTTP/1.1 200 ") == 4


@pytest.mark.parametrize("requests", [1, 3])
def test_a_half_closed_connection_gets_its_answer(running, requests):
    with connect(running) as client:
        client.sendall(WHOLE * requests)
        client.shutdown(socket.SHUT_WR)
        assert answer(client).count(b"HTTP/1.1 200 ") == requests


@pytest.mark.parametrize("sent", [b"", HEAD, WHOLE[:-3]])
def test_a_half_closed_connection_that_is_due_no_answer_is_closed(running, sent):
    with connect(running) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert answer(client) == b""


def test_a_client_that_leaves_in_the_middle(running):
    for sent in (HEAD, WHOLE[:-3], WHOLE):
        for _ in range(5):
            client = connect(running)
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()  # with a reset
    assert recommended(running)
    eventually(lambda: running.metric("srgnn_queued_sessions") == 0, "nothing waits")
    assert running.metric('srgnn_requests_total{endpoint="/recommend",status="500"}') == 0


def test_a_million_items(running, served):
    body = json.dumps({"items": [103] * 1_000_000}).encode()
    for data in (body, iter([body[i : i + 65536] for i in range(0, len(body), 65536)])):
        response = running.ask(
            "POST", "/recommend", data=data, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 413 and "1048576 bytes" in response.json()["detail"]
    assert recommended(running)
    with in_thread(served, max_body=1 << 30) as running:
        response = running.post("/recommend", {"items": [103] * 1_000_000})
        assert response.status_code == 422 and len(response.content) < 300


@pytest.mark.parametrize("name", [b"X: ", b"X", b""])
def test_a_head_without_end(running, name):
    with connect(running) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n" + name)
        with pytest.raises(OSError):
            for _ in range(100):
                client.sendall(b"x" * 65536)
                time.sleep(0.001)
        assert recommended(running)


def test_what_is_no_http(running):
    for sent in (b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        with connect(running) as client:
            client.sendall(sent)
            assert answer(client).startswith(b"HTTP/1.1 400 ")
    assert recommended(running)


# A new artifact.


def test_sighup_loads_a_new_artifact(exports, served):
    with in_process(served) as process:
        assert recommended(process) == best(exports / "old")
        relink(served, exports / "new")
        process.signal(signal.SIGHUP)
        process.event("reloaded")
        assert recommended(process) == best(exports / "new")
        assert process.metric('srgnn_reloads_total{result="ok"}') == 1


def test_new_files_are_found(exports, tmp_path):
    shutil.copytree(exports / "old", tmp_path / "served")
    with in_thread(tmp_path / "served", reload_seconds=0.02) as running:
        assert recommended(running) == best(exports / "old")
        export(Checkpoint.load(exports / "new_run" / "untrained.ckpt"), tmp_path / "served")
        eventually(lambda: recommended(running) == best(exports / "new"), "the new model")
        reloads = 'srgnn_reloads_total{result="ok"}'
        eventually(lambda: running.metric(reloads), "the reload is counted")
        assert running.metric(reloads) == 1
        assert running.metric('srgnn_reloads_total{result="failed"}') == 0


def test_a_run_that_has_finished_since_is_found(exports, tmp_path):
    def finish(run):
        (tmp_path / "runs" / run).mkdir(parents=True)
        shutil.copy(exports / f"{run}_run" / "untrained.ckpt", tmp_path / "runs" / run)
        run_result(checkpoint="untrained.ckpt").write(tmp_path / "runs" / run)

    finish("old")
    with in_thread(tmp_path / "runs" / "latest", reload_seconds=0.02) as running:
        assert recommended(running) == best(tmp_path / "runs" / "old")
        finish("new")
        eventually(lambda: recommended(running) == best(exports / "new"), "the new run")


DAMAGES = {
    "it is gone": lambda folder: shutil.rmtree(folder),
    "the manifest is no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "the weights are cut": lambda folder: os.truncate(folder / "weights.safetensors", 1000),
    "the encoder is another file": lambda folder: (folder / "encoder.onnx").write_bytes(b"x" * 99),
    "a file is missing": lambda folder: (folder / "vocabulary.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_artifact_does_not_replace_the_old_one(exports, served, tmp_path, damage, caplog):
    with in_thread(served) as running:
        shutil.copytree(exports / "new", tmp_path / "broken")
        relink(served, tmp_path / "broken")
        DAMAGES[damage](tmp_path / "broken")
        reload(running)
        assert recommended(running) == best(exports / "old") and running.ready()
        assert running.metric('srgnn_reloads_total{result="failed"}') == 1
        (told,) = [r for r in caplog.records if getattr(r, "event", "") == "reload_failed"]
        assert "the old one still is" in told.message and "\n" not in told.message
        relink(served, exports / "new")
        reload(running)
        assert recommended(running) == best(exports / "new")


def test_a_model_that_knows_no_numbers_does_not_replace_the_old_one(exports, served, tmp_path):
    path = untrained(tmp_path, IDS)
    stored = torch.load(path)
    stored["state_dict"]["model.embedding.weight"][:] = torch.nan
    torch.save(stored, path)
    with pytest.raises(ValueError, match="must be finite"):
        export(Checkpoint.load(path), tmp_path / "export")
    with in_thread(served) as running:
        relink(served, path)
        reload(running)
        assert recommended(running) == best(exports / "old")
        assert running.metric('srgnn_reloads_total{result="failed"}') == 1


def reload(running):
    """What SIGHUP does, which a thread does not get."""
    running.wait(running.service.models.reload())


def test_no_request_is_lost_while_models_change(exports, served):
    allowed = {tuple(best(exports / name)) for name in ("old", "new")}
    stop = threading.Event()
    answers = []

    def ask():
        while not stop.is_set():
            sent = time.monotonic()
            answers.append((sent, tuple(recommended(running))))

    with in_thread(served) as running:
        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        for name in ("new", "old") * 2:
            relink(served, exports / name)
            reload(running)
            since = time.monotonic()
            later = eventually(
                lambda: [items for sent, items in answers.copy() if sent > since],  # noqa: B023
                "answers",
            )
            assert set(later) == {tuple(best(exports / name))}
        stop.set()
        for client in clients:
            client.join(60)
        counted = running.metric('srgnn_requests_total{endpoint="/recommend",status="200"}')
        assert counted == len(answers) > 50
        assert {items for _, items in answers} == allowed


@pytest.fixture
def endless(exports, tmp_path):
    """An export whose encoder has a loop of 2^62 steps."""
    folder = shutil.copytree(exports / "new", tmp_path / "endless")
    model = onnx.load(folder / "encoder.onnx")
    kinds = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "x": TensorProto.FLOAT}
    info = {name: helper.make_tensor_value_info(name, kind, []) for name, kind in kinds.items()}
    after = [
        helper.make_tensor_value_info(f"{name}_after", kinds[name], []) for name in ("go", "x")
    ]
    step = [helper.make_node("Identity", [name], [f"{name}_after"]) for name in ("go", "x")]
    body = helper.make_graph(step, "body", [*info.values()], after)
    for name, value in (("steps", 2**62), ("yes", True), ("zero", numpy.float32(0))):
        model.graph.initializer.append(numpy_helper.from_array(numpy.array(value), name))
    model.graph.node.append(helper.make_node("Loop", ["steps", "yes", "zero"], ["end"], body=body))
    result = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["endless" if name == result else name for name in node.output]
    model.graph.node.append(helper.make_node("Add", ["endless", "end"], [result]))
    onnx.save(model, folder / "encoder.onnx")
    sign(folder)
    return folder


def children(process):
    """The processes that a service has started."""
    pid = process.process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def runs_a_model(pid):
    """Whether a process has come as far as to load what runs an encoder."""
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()


def exists(pid):
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_model_without_end_does_not_replace_the_old_one(exports, served, endless):
    with in_process(served, "--reload-timeout=10") as process:
        relink(served, endless)
        process.signal(signal.SIGHUP)
        eventually(lambda: children(process), "it is tried out")
        assert recommended(process) == best(exports / "old")
        told = process.event("reload_failed")["message"]
        assert "has not answered within 10 s" in told
        assert recommended(process) == best(exports / "old") and not children(process)
        assert process.metric('srgnn_reloads_total{result="failed"}') == 1


def test_the_end_while_a_model_is_tried_out(served, endless):
    with in_process(served) as process:
        relink(served, endless)
        process.signal(signal.SIGHUP)
        (child,) = eventually(lambda: children(process), "it is tried out")
        eventually(lambda: runs_a_model(child), "the model is read")
        process.signal(signal.SIGTERM)
        assert process.end() == 0 and process.events("stopped")
        assert not exists(child)


def test_a_trial_ends_without_its_service(served, endless):
    with in_process(served, "--reload-timeout=5") as process:
        relink(served, endless)
        process.signal(signal.SIGHUP)
        (child,) = eventually(lambda: children(process), "it is tried out")
        process.signal(signal.SIGKILL)
        assert process.end() == -signal.SIGKILL
        eventually(lambda: not exists(child), "the trial ends", seconds=30)


def test_the_end_while_the_first_model_is_loaded(endless):
    command = [sys.executable, "-m", "pyg_srgnn.serving", str(endless), "--port=0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stderr.readline())["event"] == "listening"
        eventually(lambda: runs_a_model(process.pid), "the model is read")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert json.loads(process.stderr.readlines()[-1])["event"] == "stopped"


def test_a_trial_that_runs_out_of_memory_is_told(exports, served):
    with in_process(served) as process:
        process.signal(signal.SIGHUP)
        (child,) = eventually(lambda: children(process), "it is tried out")
        os.kill(int(child), signal.SIGKILL)  # what the system does then
        told = process.event("reload_failed")["message"]
        assert "the process that tried the model ended with -9" in told
        assert recommended(process) == best(exports / "old")


# The beginning and the end of a process.


def started(*arguments, **environment):
    command = [sys.executable, "-m", "pyg_srgnn.serving", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=60
    )


def refused(*arguments, **environment):
    """The error with which a service does not start, below the lines of its log."""
    done = started(*arguments, **environment)
    assert done.returncode == 1 and done.stdout == ""
    log, prefix, error = done.stderr.partition("pyg_srgnn.serving: ")
    assert prefix and "Traceback" not in error, done.stderr
    assert all(json.loads(line)["level"] == "info" for line in log.splitlines()), done.stderr
    return error


def test_a_corrupt_artifact_at_the_start(exports, tmp_path):
    shutil.copytree(exports / "old", tmp_path / "broken")
    DAMAGES["the weights are cut"](tmp_path / "broken")
    assert "weights.safetensors" in refused(tmp_path / "broken", "--port=0")


def test_no_artifact_at_the_start(tmp_path):
    assert str(tmp_path / "nowhere") in refused(tmp_path / "nowhere", "--port=0")


def test_a_file_of_names_that_is_none(served, tmp_path):
    (tmp_path / "names.csv").write_text("number,text\n1,Shoe\n")
    told = refused(served, "--port=0", f"--names={tmp_path / 'names.csv'}")
    assert "names.csv" in told and "id and name" in told


@pytest.mark.parametrize("missing", ["fastapi", "prometheus_client"])
def test_what_is_not_installed_is_named(exports, missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from pyg_srgnn.serving.__main__ import main; main([{str(exports / 'old')!r}])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert f"serving needs {missing}, which is not installed: pip install" in ended.stderr


def test_a_port_that_is_taken(served):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = refused(served, f"--port={port}")
    assert f"port={port}: cannot listen there (Address already in use)" in told
    assert "port=0" in told


def test_others_are_let_in_with_a_token_only(served):
    assert "SRGNN_TOKEN" in refused(served, "--port=0", "--host=0.0.0.0", SRGNN_TOKEN="")


def test_the_help_needs_nothing():
    done = started("--help")
    assert done.returncode == 0 and "--max-clicks" in done.stdout and "SRGNN_TOKEN" in done.stdout


def test_a_process_with_a_token(served):
    with in_process(served, SRGNN_TOKEN="correct-horse") as process:
        assert process.post("/recommend", BODY).status_code == 401
        headers = {"Authorization": "Bearer correct-horse"}
        assert process.post("/recommend", BODY, headers=headers).status_code == 200
        assert "correct-horse" not in "".join(process.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_finishes_what_is_in_flight(served, number):
    with in_process(served) as process, begin(process) as client:
        process.signal(number)
        eventually(lambda: not_listening(process), "it takes no new connections")
        client.sendall(REQUEST)
        assert answer(client).startswith(b"HTTP/1.1 200 ")
        assert process.end() == 0
        assert process.events("stopped")


def not_listening(process):
    try:
        connect(process).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it closes in this very moment
        return False
    return False


@contextmanager
def asking(process, end=requests.ConnectionError):
    """Clients that ask one question after another until that error is met; their answers."""
    answers, gone = [], []

    def ask():
        client = requests.Session()
        try:
            while True:
                answers.append(client.post(process.url + "/recommend", json=BODY).status_code)
        except end as error:
            gone.append(error)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    eventually(lambda: len(answers) > 20, "answers")
    yield answers
    for client in clients:
        client.join(60)
    assert len(gone) == 4


def test_sigterm_during_requests_and_a_reload(exports, served):
    """Every answer is whole: what is no longer taken is refused by the socket."""
    with in_process(served) as process, asking(process) as answers:
        relink(served, exports / "new")
        process.signal(signal.SIGHUP)
        (child,) = eventually(lambda: children(process), "it is tried out")
        process.signal(signal.SIGTERM)
        assert process.end() == 0 and process.events("stopped")
        assert set(answers) == {200}
        assert not exists(child)


def test_sigkill_during_requests_and_a_reload(exports, served):
    """An answer that was being sent is cut, unlike at the end that SIGTERM asks for."""
    with (
        in_process(served) as process,
        asking(process, requests.RequestException) as answers,
    ):
        port = process.address[1]
        process.signal(signal.SIGHUP)
        eventually(lambda: children(process), "it is tried out")
        process.signal(signal.SIGKILL)
        assert process.end() == -signal.SIGKILL
    assert set(answers) == {200}
    with in_process(served, f"--port={port}") as again:  # the port is free at once
        assert recommended(again) == best(exports / "old")


def test_sighup_before_there_is_a_handler(exports, served):
    code = (
        "import os, signal, uvicorn\n"
        "from pyg_srgnn.serving import server\n"
        "from pyg_srgnn.serving.__main__ import main\n"
        "listen = server.listen\n"
        "def hung_up(*given):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return listen(*given)\n"
        "server.listen = hung_up\n"
        f"main([{str(served)!r}, '--port=0'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        events = (json.loads(line).get("event") for line in process.stderr)
        assert "ready" in events
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_the_end_is_announced(served):
    with in_process(served, "--drain-seconds=60") as process:
        process.signal(signal.SIGTERM)
        eventually(lambda: not process.ready(), "not ready")
        assert recommended(process)
        process.client.close()
        process.signal(signal.SIGTERM)  # asked again: at once
        assert process.end() == -signal.SIGTERM


def test_the_end_comes_when_it_has_been_announced_for_long_enough(served):
    with in_thread(served, drain_seconds=0.2) as running:
        running.server.handle_exit(signal.SIGTERM, None)
        assert not running.server.should_exit and not running.ready()
        eventually(lambda: running.server.should_exit, "the end")


def test_the_end_does_not_wait_for_ever(served):
    with in_process(served, "--stop-seconds=1", "--request-timeout=60") as process, begin(process):
        process.signal(signal.SIGTERM)
        assert process.end() == 0
