"""Kill a sweep again and again: ``python -m tests.kill.kill_sweep grid|optuna FOLDER TIMES SEED``.

A process of its own, because it forks: it runs no threads. The sweep runs once undisturbed, then it
is killed TIMES times at random moments, each start going on where the last one was, and then it
runs to its end. What it leaves must be what the undisturbed one left.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import pyg_srgnn.training.run  # noqa: F401  (so that no fork has to import it)
from pyg_srgnn.commands import train
from tests.commands import run
from tests.kill.harness import finish_function, kill_function, moments
from tests.tiny import TINY

GRID = ["model.channels=8,12", "seed=0,1", "halving=2", "trainer.max_epochs=3"]
OPTUNA = [
    "hydra/sweeper=optuna",
    "hydra.sweeper.n_trials=4",
    "model.dropout=interval(0.0,0.9)",
    "optimizer.lr=tag(log,interval(0.0001,0.1))",
    "trainer.max_epochs=3",
]
TIMED = ("seconds", "samples/s", "samples_per_second", "train_seconds")


def sweep(kind: str, folder: Path, name: str) -> None:
    """Run the whole command."""
    swept = ("trainer.max_epochs", "model.channels", "optimizer.lr=")
    settings = [word for word in TINY if not word.startswith(swept)]
    settings += [*(GRID if kind == "grid" else [*OPTUNA, "model.channels=8"]), "test=false"]
    result = run(
        train.main,
        "srgnn-train",
        "-m",
        *settings,
        f"dataset.root={folder / 'datasets'}",
        f"hydra.sweep.dir={folder / name}",
    )
    assert result.status == 0, result.out + result.err


def untimed(rows: Any) -> Any:
    """A table or a dictionary without what takes another time each time."""
    if isinstance(rows, list):
        return [untimed(row) for row in rows]
    return {key: value for key, value in rows.items() if key not in TIMED}


def left(directory: Path) -> dict[str, Any]:
    """What a sweep left: the metrics of every job, and the leaderboard."""
    files = directory.rglob("metrics.json")
    found = {path.parent.name: untimed(json.loads(path.read_text())) for path in files}
    with (directory / "leaderboard.csv").open(newline="") as file:
        found["leaderboard"] = untimed(list(csv.DictReader(file)))
    return found


def whole_files(directory: Path) -> Callable[[], None]:
    """A check that no file is half written, and that no finished job is run again."""
    finished: dict[Path, int] = {}

    def check() -> None:
        for path in directory.rglob("*.ckpt"):
            assert torch.load(path, weights_only=True)["state_dict"]
        for path in directory.rglob("metrics.json"):
            assert json.loads(path.read_text())["valid"]
            written = path.stat().st_mtime_ns
            assert finished.setdefault(path, written) == written, f"{path.parent} was run again"

    return check


def check_study(directory: Path) -> None:
    """Four trials are complete, none twice, each with the value of its own job; none is lost."""
    import optuna

    storage = f"sqlite:///{directory.absolute()}/study.db"
    drawn = optuna.load_study(study_name="sweep", storage=storage).get_trials()
    trials = [trial for trial in drawn if trial.state.name == "COMPLETE"]
    assert len(trials) == 4
    killed = [trial.params for trial in drawn if trial.state.name != "COMPLETE"]
    assert all(any(p.items() <= t.params.items() for t in trials) for p in killed)
    assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 4
    jobs = list(directory.rglob("metrics.json"))
    assert {json.loads(job.read_text())["valid"]["hr@20"] for job in jobs} == {
        trial.value for trial in trials
    }
    assert sorted(job.parent.name for job in jobs) == sorted(
        f"model.dropout-{trial.params['model.dropout']}_optimizer.lr-{trial.params['optimizer.lr']}"
        for trial in trials
    )


def main(kind: str, folder: Path, times: int, seed: int) -> None:
    """Undisturbed, killed, to the end, compared."""
    torch.set_num_threads(1)
    if kind == "optuna":
        import optuna  # noqa: F401
    started = time.perf_counter()
    finish_function(lambda: sweep(kind, folder, "whole"))
    seconds = time.perf_counter() - started
    killed = starts = 0
    check = whole_files(folder / "killed")
    while killed < times and starts < 3 * times:
        # Short ones, or the sweep would be through before it has been killed so often.
        longest = 3 * seconds / (times + 3) + 0.3 * seconds
        delay = moments(1, longest, random.Random(f"{seed} {starts}").randrange(2**32))
        killed += kill_function(lambda: sweep(kind, folder, "killed"), delay, check)
        starts += 1
    finish_function(lambda: sweep(kind, folder, "killed"))
    check()
    if kind == "optuna":
        check_study(folder / "killed")
    else:
        assert left(folder / "killed") == left(folder / "whole")
    print(f"{kind}: killed {killed} of {starts} starts; undisturbed it takes {seconds:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
