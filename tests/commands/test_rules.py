"""Rules of srgnn-recommend: of one session and of a file, and what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.commands import recommend
from tests.commands import Result, run
from tests.serving.shop import untrained

IDS = list(range(100, 130))
ITEMS = ["id,category,price,in_stock"]
ITEMS += [f"{raw},kind {raw % 3},{raw % 7 + 0.5},{raw % 5 != 0}" for raw in IDS]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("shop")
    items = folder / "items.csv"
    items.write_text("\n".join(ITEMS) + "\n")
    return {"checkpoint": str(untrained(folder, IDS)), "attributes": str(items)}


def recommended(given: dict[str, str], *more: str) -> Result:
    keys = [f"{name}={value}" for name, value in given.items()]
    return run(recommend.main, "srgnn-recommend", *keys, "k=6", *more)


CASES: dict[str, dict[str, Any]] = {
    "where={category: [kind 1, kind 2], in_stock: true, price: {max: 5}}": {
        "where": {"category": ["kind 1", "kind 2"], "in_stock": True, "price": {"max": 5}}
    },
    "boost={category: {kind 0: 9.5}, in_stock: {true: 2}}": {
        "boost": {"category": {"kind 0": 9.5}, "in_stock": {True: 2}}
    },
    "diversify=0.4 diversify_by=category max_per={category: 1}": {
        **{"diversify": 0.4, "diversify_by": "category", "max_per": {"category": 1}}
    },
    "allow=[100,101,102,115] deny=[101]": {"allow": [100, 101, 102, 115], "deny": [101]},
}


@pytest.mark.parametrize("keys", CASES)
def test_one_session(given: dict[str, str], keys: str) -> None:
    result = recommended(given, "items=[100,103]", *re.split(r" (?=\w+=)", keys))
    assert result.status == 0, result.err
    here = Recommender.load(given["checkpoint"])
    here.set_attributes(given["attributes"])
    (wanted,) = here.recommend([[100, 103]], 6, **CASES[keys])
    found = re.findall(r"^ +\d+ +(\d+) +-?\d+\.\d+$", result.out, re.MULTILINE)
    assert found == [str(raw) for raw, _ in wanted]


def test_a_file_is_done_again_with_other_attributes(given: dict[str, str], tmp_path: Path) -> None:
    pl.DataFrame({"clicks": [[100, 103], [104]]}).write_parquet(tmp_path / "in.parquet")
    output = tmp_path / "top.parquet"
    keys = [f"input={tmp_path / 'in.parquet'}", f"output={output}", "where={in_stock: true}"]
    assert recommended(given, *keys).status == 0
    items = {raw for best in pl.read_parquet(output)["items"] for raw in best}
    assert items and all(raw % 5 for raw in items)


def test_what_is_wrong(given: dict[str, str]) -> None:
    for key, message in {
        "where={colour: red}": "where.colour: .*items.csv: there is no column 'colour'; the",
        "boost={category: {kind 0: -1}}": "boost.category.kind 0=-1: expected a number > 0",
        "diversify=1.5": "diversify=1.5: expected a number >= 0 and < 1",
        "attributes=nowhere.csv": "nowhere.csv: there is no such file",
    }.items():
        result = recommended(given, "items=[100]", key)
        assert result.status == 1 and re.search(message, result.out + result.err), result.err
    result = recommended(given, "items=[100]", "where={category: boots}")
    assert result.status == 0
    assert "no item of the catalogue meets Rules(where={'category': 'boots'})" in result.err
