"""The result of a run as a file: written, read again, refused where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.runs.result import RunResult
from tests.results import run_result

RUNS = Path(__file__).parents[2] / "study" / "runs"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    part = {"hr@20": 0.1, "mrr@20": float(1)}
    full = run_result(
        pruned=1,
        refit="only",
        data={"items": {"count": 3}},
        optimum={"test": part},
        baselines={"markov": {"test": part}},
        targets={"srgnn": {"warm": part | {"samples": 3}, "cold": {"samples": 0}}},
        best_epochs={"hr@20": 2},
    )
    for result in (run_result(), run_result(valid=None, test=None, checkpoint=None), full):
        result.write(tmp_path)
        assert RunResult.read(tmp_path) == result
        assert (tmp_path / "metrics.json").read_text() == result.to_json()


def test_the_keys_of_the_file() -> None:
    keys = [
        *("dataset", "protocol", "refit", "model", "seed", "epochs", "best_epoch", "pruned"),
        *("valid", "test", "baselines", "targets", "checkpoint", "data", "samples", "optimum"),
        *("samples_per_second", "train_seconds", "device", "parameters", "versions"),
    ]
    result = run_result(targets={}, data={"items": {}}, optimum={"test": {}})
    assert list(json.loads(result.to_json())) == keys
    optional = {"targets", "data", "optimum", "best_epochs"}
    assert set(json.loads(run_result().to_json())) == set(keys) - optional


def test_runs_of_earlier_versions() -> None:
    files = sorted(RUNS.rglob("metrics.json"))
    held = [json.loads(file.read_text()) for file in files]
    assert any("device" not in each and "pruned" not in each for each in held)
    for file, each in zip(files, held, strict=True):
        result = RunResult.read(file.parent)
        assert json.loads(result.to_json()) == {"pruned": None, "device": "cpu"} | each


def test_a_key_of_a_later_version_is_kept() -> None:
    text = json.dumps(json.loads(run_result().to_json()) | {"colour": ["green"]})
    result = RunResult.from_json(text)
    assert result.others == {"colour": ["green"]}
    assert json.loads(result.to_json()) == json.loads(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "0"),
        ("seed", True),
        ("refit", 1),
        ("valid", {"hr@20": "0.5"}),
        ("baselines", {"markov": 0.5}),
        ("test", 0.5),
        ("targets", {"srgnn": {"cold": 0.5}}),
        ("checkpoint", 3),
        ("train_seconds", None),
    ],
)
def test_a_value_of_another_type(tmp_path: Path, key: str, value: Any) -> None:
    held = json.loads(run_result().to_json()) | {key: value}
    (tmp_path / "metrics.json").write_text(json.dumps(held))
    with pytest.raises(ValueError, match=rf"metrics\.json: {key}: expected .* found") as error:
        RunResult.read(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    held = json.loads(run_result().to_json())
    del held["test"]
    for text, message in (
        (json.dumps(held), "'test'"),
        ("[]", r"found \[\]"),
        (run_result().to_json()[:-20], "no JSON"),
    ):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(ValueError, match=message) as error:
            RunResult.read(tmp_path)
        assert str(tmp_path / "metrics.json") in str(error.value)
    with pytest.raises(ValueError, match="no finished run"):
        RunResult.read(tmp_path / "nowhere")
