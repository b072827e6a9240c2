"""Scientific: published counts, the split, texts, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pyg_srgnn.datasets import Scientific
from pyg_srgnn.datasets.download import DownloadError

unchecked = pytest.mark.filterwarnings("ignore:.* is used unchecked")


def put(root: Path, clicks: pl.DataFrame, items: pl.DataFrame) -> Path:
    folder = root / "scientific" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    clicks.write_parquet(folder / "clicks.parquet")
    items.write_parquet(folder / "items.parquet")
    return folder


CLICKS = pl.DataFrame(
    [
        {"session": f"u{session}", "item": item, "time": "0"}
        for session, items in enumerate(["abc", "cab", "ad", "bb", "cda", "xcy", "a", "xd"])
        for item in items
    ]
)
ITEMS = pl.DataFrame({"item": [*"zyxdcb"], "text": ["z", "a y", "an x", " ", "a c ", "a b"]})


@unchecked
@pytest.mark.parametrize(
    ("cold", "ids", "test"),
    [("drop", "abcd", []), ("keep", "abcdxy", ["xcy", "xd"])],
)
def test_the_last_reviewers_make_the_test_part(
    tmp_path: Path, cold: str, ids: str, test: list[str]
) -> None:
    put(tmp_path, CLICKS if test else CLICKS.filter(pl.col("session") != "u7"), ITEMS)
    share = 0.3 if test else 0.4
    training = Scientific(tmp_path, "trainval", test=share, cold=cold)
    held_out = Scientific(tmp_path, "test", test=share, cold=cold)
    found = ["".join(one) for one in training.sessions.to_lists(training.vocabulary)]
    assert found == (["abc", "cab", "ad", "bb", "cda"] if test else ["abc", "cab", "ad", "bb"])
    assert training.vocabulary.ids == list(ids)
    of = {"b": "a b", "c": "a c", "x": "an x", "y": "a y"}
    assert training.texts == [of.get(raw) for raw in ids]
    if test:
        assert ["".join(one) for one in held_out.sessions.to_lists(held_out.vocabulary)] == test
    assert training.sessions.times is None


@unchecked
def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    put(tmp_path, CLICKS, ITEMS.rename({"text": "title"}))
    with pytest.raises(ValueError, match=r"items.parquet: there is no column 'text'; .* title"):
        Scientific(tmp_path)
    put(tmp_path, CLICKS, pl.concat([ITEMS, ITEMS[2:3]]))
    with pytest.raises(ValueError, match=r"items.parquet: item 'x' stands twice"):
        Scientific(tmp_path)


def test_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        Scientific(tmp_path)
    assert str(tmp_path / "scientific" / "raw" / "clicks.parquet") in str(error.value)
    assert "github.com/ysh-1998/CoWPiRec" in str(error.value)


@unchecked
def test_the_published_counts(benchmark_data: Path, tmp_path: Path) -> None:
    if not (benchmark_data / "scientific" / "clicks.parquet").is_file():
        pytest.skip(f"no scientific/clicks.parquet in {benchmark_data}")
    made = Scientific(tmp_path, "test", mirror=benchmark_data, cold="keep")
    parts = made.report["parts"]
    sizes = [parts[p][unit] for p in ("training", "test") for unit in ("sessions", "clicks")]
    assert sizes == [7_598, 53_457, 844, 5_927] and sum(sizes[1::2]) == 59_384
    assert made.num_items == made.report["items_with_text"] == 4_385
    assert made.report["distributions"]["unseen_test_items"]["items"] == 0
    texts = pl.read_parquet(benchmark_data / "scientific" / "items.parquet")
    of = dict(zip(texts["item"], texts["text"], strict=True))
    assert made.texts == [" ".join(of[raw].split()) for raw in made.vocabulary.ids]
