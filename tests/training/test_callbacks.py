"""Callbacks that a configuration lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.training import train
from tests.tiny import tiny_config

HERE = "tests.training.test_callbacks"


class Steps(Callback):
    """Counts steps into a file, and keeps the count in checkpoints."""

    def __init__(self, path: str, first: int = 0) -> None:
        self.path, self.count = Path(path), first

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        self.count += 1

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        with self.path.open("a") as file:
            file.write(f"{self.count} ")

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


class NoCallback:
    """A class of another kind."""


@pytest.mark.slow
def test_they_are_called_resumed_and_may_differ(tmp_path: Path) -> None:
    file, folder = tmp_path / "steps", tmp_path / "run"
    listed = f"callbacks=[{{_target_: {HERE}.Steps, path: {file}, first: 10}}]"
    keys = ["test=false", "+trainer.limit_train_batches=3"]

    def config(*more: str) -> Any:
        found = tiny_config(tmp_path / "data", *keys, *more)
        validate_run(found)
        return found

    train(config(listed, "trainer.max_epochs=1", "refit=true"), folder)
    assert file.read_text() == "13 13 ", "of the choice, and of the refit, which starts anew"
    (folder / "metrics.json").unlink()
    train(config(listed, "trainer.max_epochs=2", "refit=true"), folder)
    assert file.read_text().startswith("13 13 16 ")
    (folder / "metrics.json").unlink()
    train(config("trainer.max_epochs=3", "refit=true"), folder)


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("[3]", r"callbacks=\[3\]: expected a list such as \[\{_target_"),
        ("[{path: a}]", "callbacks=.*: expected a list"),
        ("{_target_: a.B}", "callbacks=.*: expected a list"),
        (f"[{{_target_: {HERE}.NoCallback}}]", r"callbacks\[0\].*expected .*Callback \(got a NoC"),
        (f"[{{_target_: {HERE}.Steps}}]", r"callbacks\[0\].*cannot be made \(TypeError.*'path'"),
        (f"[{{_target_: {HERE}.Stps}}]", r"callbacks\[0\]._target_=.*Stps: cannot be made"),
        (
            "[{_target_: no.package.Class}]",
            r"callbacks\[0\].*cannot be made .*No module named 'no'",
        ),
    ],
)
def test_what_is_none_is_refused_before_anything_is_loaded(
    listed: str, said: str, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path)
    (override,) = OverridesParser.create().parse_overrides([f"callbacks={listed}"])
    config.callbacks = override.value()
    with pytest.raises(ValueError, match=said):
        validate_run(config)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_trained_has_none(tmp_path: Path) -> None:
    listed = f"callbacks=[{{_target_: {HERE}.Steps, path: a}}]"
    with pytest.raises(ValueError, match=r"callbacks=.*: expected \[\] with model=stan, which is"):
        validate_run(tiny_config(tmp_path, "model=stan", listed))
