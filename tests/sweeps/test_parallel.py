"""Jobs that run at once share the cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from omegaconf import OmegaConf

from pyg_srgnn.sweeps import parallel
from pyg_srgnn.sweeps.parallel import count, sensible_jobs, set_threads


@pytest.fixture(autouse=True)
def eight_of_each(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with eight cores; the process has all of them."""
    before = torch.get_num_threads()
    monkeypatch.setattr(parallel, "cores", lambda: 8)
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("threads", "launcher", "expected"),
    [
        (None, {}, 8),
        (None, {"n_jobs": 2}, 4),
        (None, {"n_jobs": 3}, 2),
        (None, {"n_jobs": -1}, 1),
        (None, {"n_jobs": 20}, 1),
        (None, {"cpus_per_task": 3}, 3),
        (None, {"cpus_per_task": None}, 8),
        (5, {"n_jobs": 4}, 5),
        (5, {}, 5),
    ],
)
def test_threads_of_a_job(
    threads: int | None, launcher: dict[str, int | None], expected: int
) -> None:
    set_threads(threads, OmegaConf.create({"launcher": launcher}))
    assert torch.get_num_threads() == expected


def test_no_more_threads_than_the_process_was_given() -> None:
    torch.set_num_threads(2)
    set_threads(None, OmegaConf.create({"launcher": {"n_jobs": 2}}))
    assert torch.get_num_threads() == 2


def test_how_many_jobs_at_once() -> None:
    assert [sensible_jobs(jobs) for jobs in (None, 1, 3, 100)] == [4, 1, 3, 4]
    assert [count(n) for n in (1, 5, -1, -2, -20)] == [1, 5, 8, 7, 1]
