"""Samples averaged over seeds, and their slices, against plain loops."""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path

import polars as pl
import pytest

from pyg_srgnn.evaluation.samples import Samples
from pyg_srgnn.evaluation.slices import LENGTHS, Slice, slices
from pyg_srgnn.reports.slices import draw_slices, slice_table, write_slices
from tests.reports.tables import SESSIONS, random_table, save

KINDS = ["prefix"] * 6 + ["target"] * 2 + ["clicks"] * 3 + ["decile"] * 11


def test_samples_are_averaged_over_the_seeds() -> None:
    runs = [random_table(seed) for seed in range(3)]
    found = Samples.average(runs)
    for i in range(sum(SESSIONS)):
        ranks = [table["rank"][i] for table in runs]
        assert found.values["hr@20"][i] == pytest.approx(sum(rank <= 20 for rank in ranks) / 3)
        inverse = [1 / rank for rank in ranks if rank <= 20]
        assert found.values["mrr@20"][i] == pytest.approx(sum(inverse) / 3)
    assert found.starts().tolist() == [0, 3, 4, 16, 17, 19, 25, 26, 30, 45]
    with pytest.raises(ValueError, match="no run"):
        Samples.average([])


def test_a_session_begins_where_its_number_does() -> None:
    """Not where the prefix is 1: a part of the samples may lack a session's first one."""
    table = random_table().filter(pl.col("row") > 0)
    assert Samples.average([table]).starts().tolist() == [0, 2, 3, 15, 16, 18, 24, 25, 29, 44]


def test_other_test_sets_are_not_averaged() -> None:
    table = random_table()
    with pytest.raises(ValueError, match="47 and 46 samples"):
        Samples.average([table, table[:-1]])
    other = table.with_columns(prefix=pl.when(pl.col("row") == 5).then(9).otherwise("prefix"))
    with pytest.raises(ValueError, match=r"prefix of 1 samples, first of sample 5: 2 and 9"):
        Samples.average([table, other])
    with pytest.raises(ValueError, match="differ in the repeat of 47 samples"):
        Samples.average([table, table.with_columns(~pl.col("repeat"))])


def test_slices_by_the_type_of_the_target() -> None:
    table = random_table()
    types = [("view", "cart", "buy")[row % 3] for row in table["row"]]
    found = slices(Samples.average([table.with_columns(event=pl.Series(types))]))
    assert [part.kind for part in found] == KINDS[:8] + ["event"] * 3 + KINDS[8:]
    for part in (one for one in found if one.kind == "event"):
        ranks = [rank for rank, name in zip(table["rank"], types, strict=True) if name == part.name]
        assert part.samples == len(ranks)
        assert part.metrics["hr@20"] == pytest.approx(
            100 * sum(rank <= 20 for rank in ranks) / len(ranks)
        )


def test_slices_are_those_of_a_loop() -> None:
    runs = [random_table(seed, days=4) for seed in range(2)]
    found = slices(Samples.average(runs))
    assert [part.kind for part in found] == KINDS + ["day"] * 4
    assert [part.name for part in found] == [
        *("1", "2", "3", "4", "5–9", "10+", "repeated", "new", "warm", "rare", "cold"),
        *("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "unseen"),
        *("2024-03-30", "2024-03-31", "2024-04-01", "2024-04-02"),
    ]
    wanted: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for table in runs:
        for row in table.to_dicts():
            rank, clicks = row["rank"], row["prefix"]
            names = {
                "prefix": str(clicks) if clicks < 5 else "5–9" if clicks < 10 else "10+",
                "target": "repeated" if row["repeat"] else "new",
                "decile": str(row["decile"]) if row["seen"] else "unseen",
                "day": row["day"].isoformat(),
            }
            keys = [*names.items(), ("clicks", "warm" if row["clicks"] else "cold")]
            keys += [("clicks", "rare")] * (1 <= row["clicks"] <= 20)  # they are warm, too
            for key in keys:
                figures = (float(rank <= 20), 1 / rank if rank <= 20 else 0.0)
                wanted.setdefault(key, []).append(figures)
    total = 2 * sum(SESSIONS)
    assert len(wanted) == len(found)
    for part in found:
        figures = wanted[part.kind, part.name]
        means = [100 * sum(column) / len(figures) for column in zip(*figures, strict=True)]
        assert part.samples == len(figures) / 2
        assert part.share == pytest.approx(100 * len(figures) / total), part
        assert part.metrics == pytest.approx(dict(zip(("hr@20", "mrr@20"), means, strict=True)))
    assert sum(part.share for part in found[: len(LENGTHS)]) == pytest.approx(100)


def test_a_slice_without_samples_has_no_figures() -> None:
    part = slices(Samples.average([random_table(sessions=(2, 1))]))[5]
    assert part.name == "10+" and part.share == part.samples == 0
    assert all(map(math.isnan, part.metrics.values()))


@pytest.mark.usefixtures("pictures")
def test_the_model_stands_beside_its_baselines(tmp_path: Path) -> None:
    table = random_table(0, days=3)
    table = table.with_columns(random_table(1)["rank"].alias("rank_stan"))
    save(table, tmp_path / "ranks.parquet")
    text = write_slices(tmp_path, "srgnn")
    every = {
        "srgnn": slices(Samples.average([table])),
        "stan": slices(Samples.average([table], "stan")),
    }
    assert text == slice_table(every) and every["srgnn"] != every["stan"]
    with (tmp_path / "slices.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    assert head == ["slice", "value", "scorer", "samples", "share", "hr@20", "mrr@20"]
    assert [row[2] for row in rows] == ["srgnn", "stan"] * (len(KINDS) + 3)
    for scorer, parts in every.items():
        mine = [row for row in rows if row[2] == scorer]
        for row, part in zip(mine, parts, strict=True):
            assert (row[0], row[1], int(row[3])) == (part.kind, part.name, part.samples)
            assert [float(cell) for cell in row[4:]] == pytest.approx(
                [part.share, *part.metrics.values()], abs=5e-5
            )
    _, head, *lines = text.splitlines()
    assert head.split()[-2:] == ["srgnn", "stan"]
    assert len(lines) == len(KINDS) + 1 and lines[-1] == "by day of the test, 3 in all: slices.csv"
    for line, mine, theirs in zip(lines[:-1], every["srgnn"], every["stan"], strict=False):
        values = [*mine.metrics.values(), *theirs.metrics.values()]
        figures = "{:.2f} / {:.2f} {:.2f} / {:.2f}".format(*values)
        said = f"{mine.kind} {mine.name} {mine.share:.1f} {figures}"
        assert line.split() == said.split()
    if importlib.util.find_spec("matplotlib"):
        head = (tmp_path / "slices.png").read_bytes()[:20]
        assert head[:4] == b"\x89PNG" and int.from_bytes(head[16:20], "big") == 2160  # 5 kinds


def test_ranks_of_an_earlier_version_have_no_slices_by_clicks() -> None:
    table = random_table()
    every, older = (slices(Samples.average([of])) for of in (table, table.drop("clicks")))
    assert older == [part for part in every if part.kind != "clicks"] != every


def test_without_times_there_are_no_days_and_a_line_says_so(tmp_path: Path) -> None:
    save(random_table(sessions=(2, 1)), tmp_path / "ranks.parquet")
    text = write_slices(tmp_path, "srgnn")
    assert text is not None
    assert text.splitlines()[-1] == "no slices by day: this dataset keeps no times"
    assert "10+" not in text  # a part without samples
    with (tmp_path / "slices.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["slice"], row["value"]): row for row in csv.DictReader(file)}
    assert [kind for kind, _ in rows] == KINDS
    empty = rows["prefix", "10+"]
    assert empty["samples"] == "0" and empty["hr@20"] == empty["mrr@20"] == ""


def test_without_ranks_there_are_no_slices(tmp_path: Path) -> None:
    assert write_slices(tmp_path, "srgnn") is None
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_there_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    save(random_table(), tmp_path / "ranks.parquet")
    assert write_slices(tmp_path, "srgnn")
    assert {path.name for path in tmp_path.iterdir()} == {"ranks.parquet", "slices.csv"}


def test_a_dollar_in_the_data_begins_no_formula(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    metrics = {"hr@20": 50.0, "mrr@20": 20.0}
    parts = [Slice("item.category", name, 5, 0.5, metrics) for name in ("$10_$20", "$20_$50")]
    assert draw_slices({"srgnn": parts}, tmp_path / "slices.png")
