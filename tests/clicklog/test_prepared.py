"""A folder of Parquet files with what was prepared: written whole, read back, trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyg_srgnn.clicklog.prepared import FILES, Prepared, is_prepared
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets.click_log import ClickLog


def made(ids: list[Any], times: bool = True) -> Prepared:
    training = Sessions.from_lists([[0, 1, 1], [2, 0], [1, 2]], [5, 7, 7] if times else None)
    test = Sessions.from_lists([[2, 1]], [9] if times else None)
    return Prepared(training, test, Vocabulary(ids), {"rows": 11, "engine": "spark"})


@pytest.mark.parametrize("prepared", [made([7, 5, 6]), made(["é", "5", " "], times=False)])
def test_there_and_back(tmp_path: Path, prepared: Prepared) -> None:
    folder = tmp_path / "new" / "prepared"
    prepared.save(folder)
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    assert [entry.name for entry in folder.parent.iterdir()] == ["prepared"]
    assert is_prepared(folder)
    assert not is_prepared(folder.parent)
    loaded = Prepared.load(folder)
    assert loaded == prepared


def test_a_folder_is_replaced_whole_or_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()  # an empty one is as good as none
    made([1, 2, 3]).save(folder)
    made([4, 5, 6]).save(folder)
    assert Prepared.load(folder).vocabulary.ids == [4, 5, 6]

    monkeypatch.setattr("pyg_srgnn.clicklog.prepared.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made([7, 8, 9]).save(folder)
    assert Prepared.load(folder).vocabulary.ids == [4, 5, 6]
    assert [entry.name for entry in tmp_path.iterdir()] == ["prepared"]


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to("v1")
    for ids in ([1, 2, 3], [4, 5, 6]):
        made(ids).save(link)
        assert Prepared.load(tmp_path / "v1").vocabulary.ids == ids and link.is_symlink()


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="holds something else"):
        made([1, 2, 3]).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_files_of_different_preparations_are_an_error(tmp_path: Path) -> None:
    made([1, 2, 3]).save(tmp_path / "prepared")
    pl.DataFrame({"item": [1, 2]}).write_parquet(tmp_path / "prepared" / "items.parquet")
    with pytest.raises(ValueError, match=r"training.parquet: there is an item 2, .* with 1"):
        Prepared.load(tmp_path / "prepared")


def test_a_data_set_opens_it(tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    prepared = made(["x", "y", "z"])
    prepared.save(folder)
    training, test = (
        ClickLog(tmp_path / "root", split=split, path=folder) for split in ("trainval", "test")
    )
    assert (training.sessions, test.sessions) == (prepared.training, prepared.test)
    assert training.vocabulary == prepared.vocabulary
    assert training.report == prepared.report

    other = Prepared(prepared.test, prepared.test, prepared.vocabulary, {"rows": 2})
    other.save(folder)  # other content is another cache
    assert ClickLog(tmp_path / "root", split="trainval", path=folder).sessions == prepared.test


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"min_support": 1, "gap": "1h"}, r"leave out dataset\.gap, dataset\.min_support$"),
        ({"vocabulary": "vocabulary.json"}, r"leave out dataset\.vocabulary$"),
    ],
)
def test_its_rules_were_applied_already(tmp_path: Path, rules: dict[str, Any], said: str) -> None:
    made([1, 2, 3]).save(tmp_path / "prepared")
    with pytest.raises(ValueError, match=said):
        ClickLog(tmp_path / "root", path=tmp_path / "prepared", **rules)
