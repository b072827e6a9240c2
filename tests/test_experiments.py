"""Every experiment: what its header promises, and two batches of its training."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pyg_srgnn.checkpoint import read_checkpoint
from pyg_srgnn.commands import train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.validate import validate_run
from tests.commands import run
from tests.tiny import TINY

pytestmark = pytest.mark.slow

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
PARTS = ("Command", "Expected", "Time", "Measured")
NOT_YET = "not measured yet"
RESULTS = Path(__file__).parents[1] / "docs" / "results.md"


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def header(experiment: str) -> dict[str, list[str]]:
    """The parts of the comment that opens the file; a part may have several lines."""
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    opening = text[: text.index("defaults:")]
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, said in re.findall(r"^# ([A-Z][a-z]+): +(.+)$", opening, re.MULTILINE):
        found[part].append(said)
    return found


def test_the_header_says_what_to_expect(experiment: str) -> None:
    """A command, a result with its spread, the time and the date, or that there is none yet."""
    found = header(experiment)
    assert found["Command"]
    (expected,), (time,), (measured,) = (found[part] for part in PARTS[1:])
    if NOT_YET in (expected, time, measured):
        assert expected == time == measured == NOT_YET
        return
    pairs = re.findall(r"(\d\d\.\d\d)(?: ± \S+)? / (\d\d\.\d\d)", expected)
    assert len(pairs) == len(found["Command"])
    assert "HR@20 / MRR@20" in expected and ("±" in expected or "one seed" in expected)
    assert re.search(r"\d seconds|\d minutes|\d hours", time)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", measured)
    results = RESULTS.read_text()
    for figure in (*(figure for pair in pairs for figure in pair), measured):
        assert figure in results, f"{figure} has no place in {RESULTS.name}"


def test_the_command_is_one_of_srgnn_train(experiment: str) -> None:
    for command in header(experiment)["Command"]:
        program, *overrides = shlex.split(command)
        assert program == "srgnn-train" and f"experiment={experiment}" in overrides
        with initialize_config_dir(str(CONF), version_base="1.3"):
            validate_run(compose("train", overrides))


def test_two_batches(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real command on a small dataset; what the experiment sets is what trains."""
    monkeypatch.chdir(tmp_path)
    small = [key for key in TINY if key.startswith(("dataset.", "trainer.accelerator"))]
    result = run(
        train.main,
        "srgnn-train",
        f"experiment={experiment}",
        *small,
        "trainer.limit_train_batches=2",
        "trainer.max_epochs=1",
        "batch_size=20",
        "baselines=[popularity]",
        "hydra.run.dir=run",
    )
    assert result.status == 0, result.out + result.err
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["epochs"] == 1 and metrics["test"]["hr@20"] > 0
    assert read_checkpoint("run/checkpoints/last.ckpt")["global_step"] == 2
    (row,) = csv.DictReader(Path("run/epochs.csv").read_text().splitlines())
    stored = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")
    assert float(row["lr"]) == stored.optimizer.lr and 0 < float(row["loss"]) < 10
    config = OmegaConf.load("run/config.yaml")
    for key, value in stored.get("model", {}).items():
        assert config.model[key] == value, key
