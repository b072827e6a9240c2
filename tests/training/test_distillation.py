"""A run that is trained towards another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.manifest import CARD
from pyg_srgnn.nn import Distillation
from pyg_srgnn.reports import run_summary
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.training import fit, train
from pyg_srgnn.training.job import Job
from tests.tiny import tiny_config
from tests.training.interruption import interrupted
from tests.training.test_run import rows_of, untimed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def teacher(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two models: one that has seen the validation sessions, one that has not."""
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    train(tiny_config(tiny_root, "model=gru4rec", "refit=true", "test=false"), folder)
    return folder


@pytest.fixture(scope="module")
def distilled(
    teacher: Path, tiny_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("runs") / "distilled"
    keys = f"distil={teacher}", "distil_weight=0.8", "refit=true", "baselines=[]"
    return folder, train(tiny_config(tiny_root, *keys), folder)


def test_the_result_and_the_card_say_so(
    distilled: tuple[Path, RunResult], teacher: Path, tmp_path: Path
) -> None:
    folder, result = distilled
    expected = {"run": str(teacher), "model": "gru4rec", "weight": 0.8}
    assert result.model == "srgnn" and result.distil == expected
    assert RunResult.read(folder).distil == expected
    said = "Distilled: a single model, trained towards {} (model=gru4rec), 80% of the loss."
    assert said.format(teacher) in run_summary(result, "hr@20")
    exported = export(Checkpoint.load(folder), tmp_path / "export")
    assert said.format("teacher") in (exported / CARD).read_text(encoding="utf-8")


def test_the_checkpoint_is_that_of_the_student_alone(
    distilled: tuple[Path, RunResult], finished: Callable[[str], Path]
) -> None:
    stored, usual = (
        torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        for folder in (distilled[0], finished("srgnn"))
    )
    assert stored["state_dict"].keys() == usual["state_dict"].keys()
    assert stored["model"] == usual["model"]
    name = "model.embedding.weight"
    assert not torch.equal(stored["state_dict"][name], usual["state_dict"][name])


def test_the_teacher_has_seen_what_the_student_sees(
    teacher: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    load = Checkpoint.load

    def recording(path: Path) -> Checkpoint:
        opened.append(Path(path).name)
        return load(path)

    monkeypatch.setattr("pyg_srgnn.training.trained.Checkpoint.load", recording)
    train(tiny_config(tiny_root, f"distil={teacher}", "refit=true", "test=false"), tmp_path)
    assert [name for name in opened if name != "refit.ckpt"] == ["best.ckpt"]
    assert opened[:2] == ["best.ckpt", "refit.ckpt"]


def test_an_interrupted_run_is_resumed(
    tiny_root: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tiny_root, f"distil={teacher}", "trainer.max_epochs=3", "test=false")
    whole = train(config, tmp_path / "whole")
    interrupted(config, tmp_path / "part", monkeypatch)
    assert untimed(train(config, tmp_path / "part")) == untimed(whole)
    rows = (rows_of(tmp_path / name / "epochs.csv") for name in ("whole", "part"))
    assert next(rows) == next(rows)
    changed = tiny_config(tiny_root, f"distil={teacher}", "distil_weight=0.9", "test=false")
    with pytest.raises(ValueError, match=r"distil_weight: there 0\.5, here 0\.9"):
        train(changed, tmp_path / "whole")


def test_a_teacher_is_asked_for_the_samples_that_are_drawn(
    teacher: Path, tiny_root: Path, tmp_path: Path
) -> None:
    def distillation(*keys: str) -> Distillation:
        job = Job(tiny_config(tiny_root, f"distil={teacher}", *keys), tmp_path)
        training = job.open("train")
        training._indices = np.array([1, 3, 5, 6])
        found = fit._distillation(job, fit._teacher(job, training), training)
        assert found is not None
        batches.append(training.batch([0, 1, 2]))
        return found

    batches: list[Batch] = []
    build, (drawn,) = distillation()._build, batches
    assert build is not None
    again = build(drawn.row)
    assert drawn.row.tolist() == again.row.tolist() == [1, 3, 5]
    assert torch.equal(again.x, drawn.x) and torch.equal(again.y, drawn.y)
    for key in ("drop_items=0.1", "crop=0.1"):
        assert distillation(key)._build is None


def test_a_sampled_loss_is_refused(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "distil=RUN", "model.loss=sampled", "model.negatives=8")
    with pytest.raises(ValueError, match=r"distil='RUN': expected null with model\.loss=sampled"):
        validate_run(config)


def test_without_a_teacher_the_weight_has_no_effect(tiny_run: Path, tiny_root: Path) -> None:
    result = train(tiny_config(tiny_root, "distil_weight=0.9"), tiny_run)
    assert result.distil is None


def test_a_teacher_of_other_data_or_of_validation_sessions_is_refused(
    teacher: Path, tiny_root: Path, tmp_path: Path
) -> None:
    seen = teacher / "checkpoints" / "refit.ckpt"
    for name, path, expected in (
        ("seen", seen, r"split=trainval, dataset.valid=0.1\), and this run has"),
        ("none", tmp_path / "none", "there is no such run directory or file"),
    ):
        with pytest.raises(ValueError, match=expected):
            train(tiny_config(tiny_root, f"distil={path}"), tmp_path / "runs" / name)
    config = tiny_config(tiny_root, f"distil={teacher}", "dataset.num_sessions=250")
    with pytest.raises(ValueError, match=f"distil={teacher}: the data has changed since"):
        train(config, tmp_path / "other")
    with pytest.raises(ValueError, match=r"distil.*None with protocol=literature"):
        train(tiny_config(tiny_root, f"distil={teacher}", "protocol=literature"), tmp_path / "lit")
