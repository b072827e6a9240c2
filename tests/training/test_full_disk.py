"""A disk that is full when a checkpoint is written: the error, the last checkpoint, the resume."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn.commands import train
from pyg_srgnn.training.callbacks import SafeCheckpointIO
from tests.commands import run
from tests.full_disk import limit, tmpfs
from tests.tiny import TINY

pytestmark = pytest.mark.slow


@contextmanager
def disk(folder: Path) -> Iterator[Callable[[int], Any]]:
    """A file system of its own that can be filled up to so many bytes."""
    folder.mkdir()

    @contextmanager
    def left(size: int) -> Iterator[None]:
        filling = folder / "filling"
        filling.write_bytes(bytes(max(shutil.disk_usage(folder).free - size, 0)))
        try:
            yield
        finally:
            filling.unlink()

    with tmpfs(folder, 4 * 2**20):
        yield left


@contextmanager
def files(folder: Path) -> Iterator[Callable[[int], Any]]:
    """A folder; for a time no file may have more than so many bytes."""
    folder.mkdir()
    yield limit


@pytest.fixture(params=[disk, files])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    folder = tmp_path / "disk"
    with request.param(folder) as left:
        yield folder, left


def test_a_run_stops_with_its_last_checkpoint_and_is_resumed(
    full: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, left = full

    def command(name: Path, *more: str) -> Any:
        keys = ["test=false", "baselines=[]", f"dataset.root={tmp_path / 'data'}"]
        return run(train.main, "srgnn-train", *TINY, *keys, f"hydra.run.dir={name}", *more)

    assert command(folder / "run", "trainer.max_epochs=1").status == 0
    (folder / "run" / "metrics.json").unlink()  # as if it had been stopped here
    last = folder / "run" / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    with left(len(whole) // 2):  # enough for all that is written besides
        stopped = command(folder / "run")
    printed = stopped.out + stopped.err
    assert stopped.status == 1 and "Traceback" not in printed
    assert "No space left on device" in printed or "File too large" in printed
    assert ".ckpt" in printed.splitlines()[-1]
    assert last.read_bytes() == whole
    assert not [path.name for path in folder.rglob("*.part")]

    resumed = command(folder / "run")
    assert resumed.status == 0 and "resuming from" in resumed.out
    assert command(tmp_path / "never").status == 0
    ours, theirs = (
        json.loads((name / "metrics.json").read_text())
        for name in (folder / "run", tmp_path / "never")
    )
    assert ours["epochs"] == 2 and ours["valid"] == theirs["valid"]


@pytest.mark.parametrize("size", [0, 100, 5_000, 39_000])
def test_a_checkpoint_is_whole_or_the_one_before(full: tuple[Path, Any], size: int) -> None:
    """Wherever within the file the space ends."""
    folder, left = full
    path, io = folder / "one.ckpt", SafeCheckpointIO()
    io.save_checkpoint({"weight": torch.zeros(10_000)}, path)
    before = path.read_bytes()
    assert len(before) > 40_000
    with left(size), pytest.raises(OSError, match=r"one\.ckpt") as error:
        io.save_checkpoint({"weight": torch.ones(10_000)}, path)
    assert error.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert path.read_bytes() == before and os.listdir(folder) == ["one.ckpt"]
    io.save_checkpoint({"weight": torch.ones(10_000)}, path)
    assert torch.load(path, weights_only=True)["weight"].sum() == 10_000
