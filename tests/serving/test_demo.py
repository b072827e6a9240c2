"""srgnn-serve checkpoint=demo: the model that the package has, small and with names."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.runs.find import find_run
from pyg_srgnn.serving.item_names import NAMES, load_names
from tests.serving.running import in_thread


def test_it_is_small_and_every_item_has_a_name() -> None:
    folder = find_run("demo")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_000_000
    vocabulary = Artifact.load(folder).vocabulary
    names = load_names(folder / NAMES, vocabulary)
    assert len(vocabulary) == 300 and set(names) == set(vocabulary.ids)


def test_it_recommends_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(Recommender.load("demo").recommend([[17, 4, 17]], k=5)[0]) == 5
    (tmp_path / "demo").mkdir()  # of your own: it is taken
    with pytest.raises(FileNotFoundError, match="checkpoint=demo: there is no finished run"):
        Recommender.load("demo")


@pytest.mark.slow
def test_the_service_starts_with_it_and_knows_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        in_thread(Path("demo")) as running,
        urlopen(f"{running.url}/items?query=scarf", timeout=30) as answer,
    ):
        found = json.load(answer)
    assert found and all("scarf" in item["name"] for item in found)
