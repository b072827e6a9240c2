"""A run that is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.training import train
from pyg_srgnn.training.callbacks import EpochLog


def interrupted(config: Any, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose third epoch is trained, but cut off before it is written down."""
    unbroken = EpochLog.on_train_epoch_end

    def breaking(self: EpochLog, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("power cut")
        unbroken(self, trainer, module)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(EpochLog, "on_train_epoch_end", breaking)
        train(config, run_dir)
