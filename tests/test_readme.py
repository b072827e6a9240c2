"""The Python of README and docs runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.training import train

README = Path(__file__).parents[1] / "README.md"
PAGES = [README, *sorted(README.with_name("docs").glob("*.md"))]
SNIPPETS = [
    code
    for page in PAGES
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


def run(word: str) -> dict[str, Any]:
    snippet = next(code for code in SNIPPETS if word in code)
    names: dict[str, Any] = {}
    exec(compile(snippet, str(README), "exec"), names)
    return names


def test_every_command_can_be_copied() -> None:
    """A run is named as it is found, by no placeholder."""
    text = README.read_text(encoding="utf-8")
    assert "checkpoint=runs/synthetic" in text and not re.findall(r"\b(?:OLD_)?RUN\b", text)


def test_your_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("class Shop")
    assert len(names["training"].sessions) == 24  # of 30: 3 are the test, 3 validate
    assert names["training"].vocabulary.ids == ["hat", "shirt", "shoe"]
    assert names["training"][0].y.item() == 0  # shirt → hat
    assert len(names["Shop"]("datasets", "test").sessions) == 3


def test_your_own_click_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"u{n % 9},shoe {n % 3},{1704067200 + 100 * n}" for n in range(300) if n % 45 < 27]
    Path("clicks.csv").write_text("\n".join(["user,product,timestamp", *rows]), encoding="utf-8")
    names = run("import ClickLog")
    assert names["training"].vocabulary.ids == ["shoe 0", "shoe 1", "shoe 2"]
    assert names["batch"].num_graphs >= 1


@pytest.mark.slow
def test_data_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("model.save(")
    names["clicks"].write_csv("clicks.csv")
    assert names["best"].columns == ["session", "rank", "item", "score"]
    names["clicks"].tail(8).write_csv("today.csv")
    monkeypatch.setattr("pyg_srgnn.estimator.recommender.train", _few_epochs)
    assert run("SRGNNRecommender().fit")["model"].valid_["hr@20"] > 0


def _few_epochs(config: Any, folder: Path) -> Any:
    config.trainer.max_epochs = 1
    return train(config, folder)


@pytest.mark.slow
def test_your_own_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("SessionModule(model")
    sessions = [[int(i) for i in names["valid"].vocabulary.ids[:3]]]
    (best,) = names["recommender"].recommend(sessions)
    assert best == Recommender.load("own").recommend(sessions)[0]
    scores = names["model"].eval().scores(next(iter(names["SessionLoader"](names["valid"], 128))))
    assert torch.equal(names["items"], scores.topk(20).indices)
    assert names["hit_rate"] > 0


def test_the_layer_alone() -> None:
    assert run("conv = SRGNNConv")["x"].shape == (3, 64)
