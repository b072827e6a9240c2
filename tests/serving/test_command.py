"""srgnn-serve, and the service where nothing of training is installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields

import pytest
import requests
from omegaconf import OmegaConf

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import serve
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.export.write import export
from pyg_srgnn.serving.settings import SECRETS, Settings
from tests.commands import run
from tests.serving.shop import untrained
from tests.test_imports import run_without_training

IDS = list(range(100, 130))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    return export(Checkpoint.load(untrained(root, IDS)), root / "model")


def best(exported):
    return [raw for raw, _ in Recommender.load(exported).recommend([[103, 111]], 5)[0]]


def test_it_is_configured_as_its_settings_default():
    config = OmegaConf.to_container(OmegaConf.load(CONF / "serve.yaml"))
    for ours in ("defaults", "hydra"):
        del config[ours]
    assert config.pop("checkpoint") == "???"
    settings = {one.name: one.default for one in fields(Settings)}
    for secret in SECRETS:  # from the environment alone
        assert settings.pop(secret) is None
    del settings["checkpoint"]
    assert config == settings


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "checkpoint: must be given; --help shows examples"),
        (["checkpoint=x", "max_k=0"], "max_k=0: expected a whole number >= 1"),
        (["checkpoint=x", "host=0.0.0.0"], "environment variable SRGNN_TOKEN"),
        (["checkpoint=x", "prot=80"], "port"),
        (["checkpoint=x", "precision=int4"], "precision='int4': expected one of auto, float32, "),
        (["checkpoint=nothing", "--check"], "nothing"),
    ],
)
def test_what_is_refused(arguments, told, monkeypatch):
    monkeypatch.delenv("SRGNN_TOKEN", raising=False)
    result = run(serve.main, "srgnn-serve", *arguments)
    said = result.out + result.err
    assert result.status == 1 and told in said and "Traceback" not in said


@pytest.mark.slow
def test_it_serves(exported):
    command = [sys.executable, "-m", "pyg_srgnn.commands.serve"]
    command += [f"checkpoint={exported}", "port=0", "drain_seconds=0", "sessions=memory"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            url = None
            for line in process.stderr:
                told = json.loads(line)
                url = told.get("url", url)
                if told.get("event") == "ready":
                    break
            response = requests.post(f"{url}/sessions/a/click", json={"item": 103, "k": 5})
            response = requests.post(f"{url}/sessions/a/click", json={"item": 111, "k": 5})
            assert [item["id"] for item in response.json()["items"]] == best(exported)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slow
def test_an_export_is_served_without_what_trains(exported):
    told = run_without_training(
        "from tests.serving.running import in_thread\n"
        f"with in_thread({str(exported)!r}, sessions='memory') as running:\n"
        "    running.post('/sessions/a/click', {'item': 103})\n"
        "    print(running.post('/sessions/a/click', {'item': 111, 'k': 5}).text)\n"
        "    assert running.post('/explain', {'items': [103, 111]}).status_code == 200\n"
        "    assert running.get('/').status_code == 200\n"
    )
    found = json.loads(told.splitlines()[-1])
    assert [item["id"] for item in found["items"]] == best(exported)


def test_the_command_line_without_hydra_has_every_setting():
    command = [sys.executable, "-m", "pyg_srgnn.serving", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^  --([a-z-]+)", shown, re.MULTILINE))
    named = {one.name.replace("_", "-") for one in fields(Settings)}
    assert options == named - {"checkpoint"} - {one.replace("_", "-") for one in SECRETS}


@pytest.mark.parametrize("argument", ["--check", "check=true"])
def test_check_says_how_it_would_be_served(exported, argument):
    result = run(serve.main, "srgnn-serve", f"checkpoint={exported}", "precision=float16", argument)
    told = result.out.splitlines()
    assert told[0].startswith("processor: torch uses ")
    assert told[1] == f"model A: {exported}, 30 items, answers"
    assert re.fullmatch(r"  items: float(16|32) \(precision=float16; 30 items, 1 thread\)", told[2])
