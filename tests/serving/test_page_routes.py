"""What the page asks over HTTP, and the files it is made of."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlencode, urlsplit

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.serving import page
from pyg_srgnn.serving.served import Served
from pyg_srgnn.serving.settings import Settings
from tests.serving import shop
from tests.serving.running import eventually, in_thread

FOLDER = Path(page.__file__).with_name("static")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shop.untrained(tmp_path_factory.mktemp("model"), shop.IDS)


@pytest.fixture(scope="module")
def recommender(model):
    return Recommender.load(model)


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    names = shop.write_names(tmp_path_factory.mktemp("names") / "names.tsv")
    with in_thread(model, names=str(names)) as running:
        yield running.url


def ask(url, body=None, headers=None, **query):
    """Status, headers and content of an answer."""
    if query:
        url += "?" + urlencode(query)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = ({} if data is None else {"Content-Type": "application/json"}) | (headers or {})
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(url, data=data, headers=headers), timeout=20
        )
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        content = answer.read()
        if answer.headers.get("Content-Type") == "application/json":
            content = json.loads(content)
        return SimpleNamespace(status=answer.status, headers=answer.headers, content=content)


@pytest.mark.slow
def test_every_file_under_a_strict_policy(url):
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    kinds[".svg"] = "image/svg+xml"
    files = sorted(FOLDER.iterdir())
    assert {file.name for file in files} > {"index.html", "page.js", "style.css"}
    for file in files:
        path = "/" if file.name == "index.html" else f"/static/{file.name}"
        answer = ask(url + path)
        assert answer.status == 200 and answer.content == file.read_bytes()
        assert answer.headers["Content-Type"] == f"{kinds[file.suffix]}; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        rules = dict(
            rule.strip().split(" ", 1)
            for rule in answer.headers["Content-Security-Policy"].split(";")
        )
        assert rules.pop("default-src") == "'none'"
        assert set(rules.values()) == {"'self'", "'none'"}
        tag = answer.headers["ETag"]
        again = ask(url + path, headers={"If-None-Match": tag})
        assert again.status == 304 and again.content == b"" and again.headers["ETag"] == tag


def test_nothing_but_the_files_of_the_page(url):
    for path in (
        "../page.py",
        "..%2fpage.py",
        "%2e%2e/page.py",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..\\page.py",
        "page.js%00",
        "",
        "none.js",
    ):
        answer = ask(f"{url}/static/{path}")
        assert answer.status == 404, path


def test_the_page_keeps_the_limits_of_the_service():
    script, text = ((FOLDER / name).read_text("utf-8") for name in ("page.js", "index.html"))
    found = dict(re.findall(r"^const ([A-Z]+) = (\d+);", script, re.MULTILINE))
    schemas = [page.Explained.model_json_schema(), page.Wanted.model_json_schema()]
    explained, named = (schema["properties"] for schema in schemas)
    assert int(found["EXPLAINED"]) == explained["items"]["maxItems"]
    assert int(found["OTHERS"]) == explained["others"]["maxItems"]
    assert int(found["NAMED"]) == named["ids"]["maxItems"]
    assert f'max="{Settings("x").max_k}"' in text


def test_the_page_asks_nobody_else():
    for file in FOLDER.iterdir():
        text = file.read_text(encoding="utf-8")
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)
        assert set(found) <= {"http://www.w3.org/2000/svg"}, file
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text


def test_the_docs_load_nothing_from_elsewhere(url):
    """Neither they nor what they load: every name in them is a file of ours."""
    answer = ask(url + "/docs")
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    text = answer.content.decode()
    assert not re.findall(r"(?:https?:)?//", text)
    files = set(re.findall(r'(?:href|src)="(static/[^"]+)"', text))
    assert {"static/docs.js", "static/docs.css", "static/style.css"} <= files
    assert all(ask(f"{url}/{file}").status == 200 for file in files)
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert ask(url + path).status == 404


def test_items_are_found_with_their_names(url):
    found = ask(url + "/items", query="SHOE")
    assert found.status == 200
    assert found.content == [
        {"id": 1000, "name": "Trail shoe", "known": True},
        {"id": 1030, "name": "Climbing shoe", "known": True},
    ]
    popular = ask(url + "/items", limit=3)  # the first ids have the most clicks
    assert [item["id"] for item in popular.content] == shop.IDS[:3]
    assert len(ask(url + "/items").content) == 10
    assert ask(f"{url}/items?query={quote('☃')}").content == []
    for wrong in ({"limit": 0}, {"limit": 51}, {"limit": "x"}, {"query": "x" * 201}):
        assert ask(url + "/items", **wrong).status == 422
    assert ask(f"{url}/items?query=%ed%a0%80%ff%00").status == 200


def test_items_are_named(url):
    named = ask(url + "/items", {"ids": [1001, 5, "1001"]})
    assert named.content == [
        {"id": 1001, "name": "Running sock", "known": True},
        {"id": 5, "name": None, "known": False},
        {"id": "1001", "name": None, "known": False},
    ]
    assert ask(url + "/items", {"ids": []}).content == []
    assert ask(url + "/items", {"ids": [5] * 1001}).status == 422


def test_an_explanation(url, recommender):
    session = [1000, 5, 1001, 1000]
    why = recommender.explain(session)
    answer = ask(url + "/explain", {"items": session})
    assert answer.status == 200
    found = answer.content
    assert (found["item"], found["clicks"], found["nodes"]) == (why.item, why.clicks, why.nodes)
    assert found["edges"] == [list(edge) for edge in why.edges]
    for key in ("score", "attention", "added", "weights", "weights_in"):
        assert found[key] == pytest.approx(getattr(why, key), abs=1e-6)
    other = ask(url + "/explain", {"items": session, "item": 1033}).content
    assert other["score"] == pytest.approx(recommender.explain(session, 1033).score, abs=1e-6)
    assert ask(url + "/explain", {"items": [1000]}).content["added"] is None
    several = ask(url + "/explain", {"items": session, "item": 1033, "others": [1001, 1033]})
    assert several.content["origins"] == [  # of a model that mixes nothing, and has no texts
        {"item": item, "shares": None, "similarity": None} for item in (1033, 1001, 1033)
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"items": [5]}, "no item that the model knows"),
        ({"items": []}, "no item that the model knows"),
        ({"items": [1000], "item": 5}, "does not know the item 5"),
        ({"items": [1000], "others": [1001, 5]}, "does not know the item 5"),
        ({"items": [1000], "others": [1001] * 101}, "at most 100"),
        ({"items": [1000] * 201}, "at most 200"),
        ({"items": [True]}, "items"),
        ({"items": [1.5]}, "items"),
        ({"items": [1000], "k": 3}, "k"),
        ({}, "items"),
        (b'{"items": ["\\ud800"]}', ""),
        (b'{"items": [' + b"9" * 5000 + b"]}", "out of range"),
        (b'{"items": [NaN]}', ""),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_what_cannot_be_explained(url, body, told):
    answer = ask(url + "/explain", body)
    assert answer.status == 422
    assert told in answer.content["detail"]


class Held(Recommender):
    """Explains once it may."""

    def hold(self):
        self.go, self.asked = threading.Event(), []
        return self

    def explain(self, session, item=None, others=()):
        self.asked.append(session[0])
        assert self.go.wait(20)
        return super().explain(session, item, others)


@pytest.mark.slow
def test_explanations_wait_for_their_turn(model):
    """One is made, 32 wait, and one of these is no longer wanted."""
    headers = {"Content-Type": "application/json"}
    with in_thread(model) as running, ExitStack() as stack:
        url, service = running.url, running.service
        held = Held.load(model).hold()
        service.models.served = Served(held, {})
        stack.callback(held.go.set)
        asking = []
        for item in shop.IDS[:33]:
            connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
            asking.append(stack.enter_context(closing(connection)))
            connection.request("POST", "/explain", json.dumps({"items": [item]}), headers)
            eventually(lambda: service.explanations == len(asking), "the question is taken")
        gone = asking.pop(5)
        gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()  # with a reset: a half-closed connection still gets its answer
        answer = ask(url + "/explain", {"items": [1000]})
        assert answer.status == 503 and answer.headers["Retry-After"] == "1"
        assert answer.content["detail"] == "too many explanations wait"
        held.go.set()
        answers = [connection.getresponse() for connection in asking]
        assert [answer.status for answer in answers] == [200] * 32
        clicks = [json.loads(answer.read())["clicks"] for answer in answers]
        wanted = shop.IDS[:5] + shop.IDS[6:33]
        assert clicks == [[item] for item in wanted] and held.asked == wanted
        assert ask(url + "/explain", {"items": [1000]}).status == 200


@pytest.mark.slow
def test_the_page_is_open_and_what_it_asks_is_not(model):
    with in_thread(model, token="open-sesame") as running:
        url = running.url
        for path in ("/", "/docs", "/static/page.js"):
            assert ask(url + path).status == 200
        for path, body in (("/items", None), ("/items", {"ids": []}), ("/explain", {"items": [1]})):
            assert ask(url + path, body).status == 401
        bearer = {"Authorization": "Bearer open-sesame"}
        assert ask(url + "/items", headers=bearer).status == 200


def test_the_wheel_holds_the_page(tmp_path):
    code = "import sys; from hatchling.builders.wheel import WheelBuilder as Builder; "
    code += "print(list(Builder('.').build(directory=sys.argv[1], versions=['standard']))[0])"
    root = Path(__file__).parents[2]
    made = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(made.stdout.strip()) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("pyg_srgnn/serving/static/")}
    assert packed == {f"pyg_srgnn/serving/static/{file.name}" for file in FOLDER.iterdir()}
