"""What each logger has kept of a run: one that ended, one that failed, and two in one process."""

from __future__ import annotations

import csv
import importlib.util
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.training import train
from tests.tiny import tiny_config
from tests.training.interruption import interrupted

pytestmark = pytest.mark.slow

SHORT = ("test=false", "baselines=[]")
NOT_A_NUMBER = "optimizer.lr=1e38"  # the first epoch ends with a loss that is none


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


def column(run_dir: Path, name: str) -> list[float]:
    """A metric of every epoch, from the CSV that every run writes."""
    with (run_dir / "epochs.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"pip install .*\[{name}\]'$"):
        train(tiny_config(root, *SHORT, f"logger={name}"), tmp_path)


def test_csv_alone(root: Path, tmp_path: Path) -> None:
    train(tiny_config(root, *SHORT), tmp_path)
    assert len(column(tmp_path, "valid/hr@20")) == 2
    assert not [path.name for path in tmp_path.iterdir() if path.is_dir()][1:]  # checkpoints


# TensorBoard


def events(run_dir: Path) -> Any:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(run_dir / "tensorboard"))
    return found.Reload()


def test_tensorboard_has_every_epoch(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for seed in (0, 1):
        train(tiny_config(root, *SHORT, "logger=tensorboard", f"seed={seed}"), tmp_path / str(seed))
    for seed in (0, 1):
        run_dir = tmp_path / str(seed)
        for name in ("valid/hr@20", "valid/mrr@5"):
            found = [event.value for event in events(run_dir).Scalars(name)]
            assert found == pytest.approx(column(run_dir, name))


def test_tensorboard_keeps_what_a_failed_run_has_logged(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with pytest.raises(FloatingPointError):
        train(tiny_config(root, *SHORT, "logger=tensorboard", NOT_A_NUMBER), tmp_path)
    (logged,) = events(tmp_path).Scalars("valid/hr@20")
    assert 0 <= logged.value <= 1


# MLflow


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the store that runs in this directory write to by default."""
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)

    def client() -> Any:
        return MlflowClient("sqlite:///mlruns/mlflow.db")

    return client


def history(client: Any, run_id: str, name: str) -> list[float]:
    return [metric.value for metric in client.get_metric_history(run_id, name)]


def test_mlflow_has_every_epoch_of_runs_of_one_process(
    root: Path, tmp_path: Path, store: Any
) -> None:
    for seed in (0, 1):
        train(tiny_config(root, *SHORT, "logger=mlflow", f"seed={seed}"), tmp_path / str(seed))
    client = store()
    experiment = client.get_experiment_by_name("synthetic")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {str(tmp_path / "0"), str(tmp_path / "1")}
    for seed in (0, 1):
        run, run_dir = runs[str(tmp_path / str(seed))], tmp_path / str(seed)
        assert run.info.status == "FINISHED"
        assert run.data.params["seed"] == str(seed)
        assert run.data.params["model/channels"] == "8"
        assert (run_dir / "mlflow_run_id").read_text().strip() == run.info.run_id
        found = history(client, run.info.run_id, "valid/hr20")
        assert found == pytest.approx(column(run_dir, "valid/hr@20"))


@pytest.mark.parametrize(
    ("override", "error"), [(NOT_A_NUMBER, FloatingPointError), ("warm_start=none", ValueError)]
)
def test_mlflow_knows_that_a_run_has_failed(
    root: Path, tmp_path: Path, store: Any, override: str, error: type[Exception]
) -> None:
    """While it trained, or before."""
    with pytest.raises(error):
        train(tiny_config(root, *SHORT, "logger=mlflow", override), tmp_path / "run")
    run = store().get_run((tmp_path / "run" / "mlflow_run_id").read_text().strip())
    assert run.info.status == "FAILED" and run.info.end_time is not None


def test_mlflow_resumes_the_record_of_an_interrupted_run(
    root: Path, tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run_dir = (
        tiny_config(root, *SHORT, "logger=mlflow", "trainer.max_epochs=3"),
        tmp_path / "run",
    )
    interrupted(config, run_dir, monkeypatch)
    known = (run_dir / "mlflow_run_id").read_text()
    train(tiny_config(root, *SHORT, "logger=mlflow", "trainer.max_epochs=4"), run_dir)
    assert (run_dir / "mlflow_run_id").read_text() == known
    run = store().get_run(known.strip())
    assert run.info.status == "FINISHED" and run.data.params["trainer/max_epochs"] == "3"
    logged = history(store(), known.strip(), "valid/hr20")
    assert logged[-2:] == pytest.approx(column(run_dir, "valid/hr@20")[-2:])


def test_a_store_that_cannot_be_opened_is_named(root: Path, tmp_path: Path, store: Any) -> None:
    (tmp_path / "file.db").write_text("no database")
    config = tiny_config(root, *SHORT, "logger=mlflow", "logger.tracking_uri=sqlite:///file.db")
    with pytest.raises(ValueError, match=r"logger=mlflow cannot log with .*sqlite:///file\.db"):
        train(config, tmp_path / "run")


# Weights & Biases


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log behind W&B's seven bytes: blocks of 32 KiB, parts of records."""
    at, record = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        if at + 7 + length > len(data):
            return  # it is being written
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield record
            record = b""


def offline_records(run_dir: Path) -> tuple[list[dict[str, str]], int]:
    """What would be uploaded: the rows of the history, as JSON texts, and how the run ended.

    W&B's own process writes the end of the file after ``finish()`` has returned.
    """
    (file,) = run_dir.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(200):
        rows, code = records_of(file)
        if code is not None:
            return rows, code
        time.sleep(0.05)
    raise AssertionError(f"{file} does not say how the run ended")


def records_of(file: Path) -> tuple[list[dict[str, str]], int | None]:
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    rows, code = [], None
    for data in log_records(file.read_bytes()):
        record = proto.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): item.value_json for item in items})
        elif kind == "exit":
            code = record.exit.exit_code
    return rows, code


def test_wandb_writes_every_epoch_into_each_run_of_one_process(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    for seed in (0, 1):
        train(tiny_config(root, *SHORT, "logger=wandb", f"seed={seed}"), tmp_path / str(seed))
    for seed in (0, 1):
        rows, code = offline_records(tmp_path / str(seed))
        found = [float(row["valid/hr@20"]) for row in rows if "valid/hr@20" in row]
        assert found == pytest.approx(column(tmp_path / str(seed), "valid/hr@20"))
        assert code == 0


def test_wandb_knows_that_a_run_has_failed(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    with pytest.raises(FloatingPointError):
        train(tiny_config(root, *SHORT, "logger=wandb", NOT_A_NUMBER), tmp_path)
    rows, code = offline_records(tmp_path)
    assert any("valid/hr@20" in row for row in rows) and code == 1
