"""Results of baselines are kept beside the data, and found again by what they depend on alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation import baselines, kept
from pyg_srgnn.evaluation.baselines import evaluate_with_baselines
from pyg_srgnn.evaluation.kept import KeptResults
from pyg_srgnn.functional.metrics import TIES
from tests.tiny import tiny_config

NAMES = ["markov", "vsknn"]


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Any, Any]:
    dataset = tiny_config(tmp_path).dataset
    return open_dataset(dataset, "train"), open_dataset(dataset, "test")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The classes of the scorers that were evaluated, not read."""
    scorers: list[str] = []
    evaluate_rows = baselines.evaluate_rows

    def recording(scorer: Any, *args: Any, **kwargs: Any) -> Any:
        scorers.append(type(scorer).__name__)
        return evaluate_rows(scorer, *args, **kwargs)

    monkeypatch.setattr(baselines, "evaluate_rows", recording)
    return scorers


def evaluated(training: Any, test: Any, *names: str, **options: Any) -> Any:
    loader = options.pop("loader", None) or SessionLoader(test, 50)
    return evaluate_with_baselines(None, names, training, loader, progress=False, **options)


def files(test: Any) -> list[Path]:
    return sorted(Path(test.root, test.name, "baselines").glob("*"))


@pytest.mark.parametrize("ties", TIES)
def test_the_same_again_without_counting(
    parts: tuple[Any, Any], counted: list[str], ties: str
) -> None:
    first = evaluated(*parts, *NAMES, ties=ties)
    ranks = KeptResults(parts[0], SessionLoader(parts[1], 50), ties, ()).read("markov")
    assert evaluated(*parts, *NAMES, ties=ties) == first
    assert counted == ["Markov", "VSKNN"] and len(files(parts[1])) == 2
    scorer = baselines.BASELINES["markov"].fit(parts[0].sessions, parts[0].num_items)
    loader = SessionLoader(parts[1], 7)
    _, expected = baselines.evaluate_rows(scorer, loader, parts[1].num_items, ties)
    assert ranks is not None and torch.equal(ranks.ranks, expected)


def test_what_a_result_depends_on(
    parts: tuple[Any, Any], counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    training, test = parts
    settings = tiny_config(test.root).dataset
    evaluated(training, test, "markov")
    others: list[tuple[Any, Any, dict[str, Any]]] = [
        (open_dataset(settings, "trainval"), test, {}),
        (training, open_dataset(settings, "valid"), {}),
        (training, test, {"ties": "median"}),
        (training, test, {"beyond": ["novelty"]}),
    ]
    for number, (other_training, other_test, options) in enumerate(others, 2):
        evaluated(other_training, other_test, "markov", **options)
        assert counted == ["Markov"] * number
    monkeypatch.setattr(kept, "_code", lambda: "of another version")
    evaluated(training, test, "markov")
    assert counted == ["Markov"] * 6 and len(files(test)) == 6


def test_a_damaged_file_is_made_again(
    parts: tuple[Any, Any], counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = evaluated(*parts, "markov")
    (file,) = files(parts[1])
    whole = file.read_bytes()
    for damaged in (whole[:100], b"", whole.replace(b'"result"', b'"rexult"')):
        file.write_bytes(damaged)
        counted.clear()
        caplog.clear()
        assert evaluated(*parts, "markov") == first
        assert counted == ["Markov"] and f"{file} is damaged" in caplog.text
        assert file.read_bytes() == whole


def test_parts_of_the_samples_are_not_kept(parts: tuple[Any, Any]) -> None:
    training, test = parts
    loaders = [
        SessionLoader(test[:30], 50),
        SessionLoader(test[[*range(len(test))][::-1]], 50),
        SessionLoader(test, 50, sampler=[3, 1]),
        SessionLoader(test, 50, num_replicas=2),
    ]
    for loader in loaders:
        evaluated(training, test, "markov", loader=loader)
    assert not files(test)


def test_a_folder_that_cannot_be_written_to(
    parts: tuple[Any, Any],
    counted: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "save_file", refuse)
    assert evaluated(*parts, "markov") == evaluated(*parts, "markov")
    assert counted == ["Markov"] * 2 and not files(parts[1])
    assert "was not kept: [Errno 28] No space left on device" in caplog.text
