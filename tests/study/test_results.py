"""The tables and pages made from the runs that the study keeps."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.evaluation.rank_table import read_ranks
from pyg_srgnn.evaluation.significance import paired_bootstrap
from pyg_srgnn.evaluation.slices import Slice, slices
from study import results as script
from study.ablation import Ablation
from study.configurations import Configuration, read_study
from tests.reports.tables import random_table
from tests.study.test_configurations import METRICS, write_run


def block(name: str, text: str = "") -> str:
    return f"<!-- {name} -->\n{text}<!-- /{name} -->\n"


def page(line: str) -> str:
    text = block("headline", f"{line}\n")
    return f"# One\n\n{text}\nend\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "README.md").write_text(page("old"))
    names = ("headline", "metrics", "slices", "bootstrap", "union")
    (tmp_path / "docs" / "results.md").write_text("top\n" + "\n".join(map(block, names)))
    (tmp_path / "docs" / "ablation.md").write_text(block("ablation"))
    (tmp_path / "docs" / "item_text.md").write_text(block("item_text"))
    return tmp_path


def content(root: Path, page: str, name: str) -> list[str]:
    text = (root / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    return str(found).splitlines()


def table(lines: list[str]) -> list[list[str]]:
    """Cells of the rows below a table's head."""
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("|")]
    return rows[2:]


def figures(hr: float, mrr: float) -> dict[str, Any]:
    every = dict.fromkeys(METRICS, 0.5) | {"hr@20": hr, "mrr@20": mrr}
    return {"valid": every, "test": every}


def write_study(root: Path) -> Path:
    runs = root / "study" / "runs"
    tables = [random_table(seed) for seed in range(4)]
    write_run(runs, seed=0, ranks=tables[0], refit="only", **figures(0.50, 0.20))
    write_run(runs, seed=1, ranks=tables[1], refit="only", **figures(0.52, 0.21))
    write_run(runs, "srgnn_plain", ranks=tables[2], **figures(0.49, 0.2095))
    worst = random_table(3, best=10)
    write_run(runs, "vsknn", ranks=worst, **figures(0.45, 0.22), parameters=0)
    write_run(runs, "markov", ranks=worst, **figures(0.30, 0.10))
    write_run(runs, "best_epoch", protocol="literature", model="srgnn", **figures(0.9, 0.9))
    write_run(runs, "mine", dataset="click_log", **figures(0.6, 0.6))
    write_run(runs, "not_tested", **figures(0.99, 0.99) | {"test": None})
    return runs


def test_pages_without_runs_say_so(root: Path) -> None:
    assert script.main(["--check"], root) == 1
    assert content(root, "README.md", "headline") == ["old"]  # nothing is written
    assert not (root / "study" / "results.csv").exists()
    assert script.main([], root) == 0
    for name in ("headline", "metrics", "slices", "bootstrap"):
        assert content(root, "docs/results.md", name) == [script.NONE]
    assert content(root, "docs/ablation.md", "ablation") == [script.NONE]
    assert (root / "README.md").read_text() == page(script.NONE)
    assert (root / "study" / "results.csv").read_text().count("\n") == 1
    assert not (root / "docs" / "ablation.png").exists()
    assert script.main(["--check"], root) == 0


def test_the_headline(root: Path) -> None:
    write_study(root)
    script.main([], root)
    rows = table(content(root, "docs/results.md", "headline"))
    assert rows == [
        ["Diginetica", "SR-GNN", "honest, refit", "2", "**51.00 ± 1.41**", "20.50 ± 0.71"],
        ["", "SR-GNN, plain", "honest", "1", "49.00", "20.95"],
        ["", "VSKNN", "honest", "1", "45.00", "**22.00**"],
        ["", "Markov, first order", "honest", "1", "30.00", "10.00"],
        # A figure chosen on the test set is none to be the best.
        ["", "best epoch", "literature: best test epoch", "1", "90.00", "90.00"],
        ["", "*SR-GNN, paper*", "*best test epoch*", "", "*50.73*", "*17.59*"],
        ["", "*NISER+*", "*best test epoch*", "", "*53.39*", "*18.72*"],
        ["", "*GCE-GNN*", "*best test epoch*", "", "*54.22*", "*19.04*"],
        ["", "*SGNN-HN*", "*best test epoch*", "", "*55.67*", "*19.45*"],
        ["click_log", "mine", "honest", "1", "**60.00**", "**60.00**"],
    ]
    assert table(content(root, "README.md", "headline")) == rows


def test_the_summary_goes_by_mrr_and_has_the_best_baseline_alone(root: Path) -> None:
    runs = root / "study" / "runs"
    for label, mrr in (("srgnn", 0.1104), ("gru4rec", 0.21), ("stan", 0.0743), ("markov", 0.07)):
        told = figures(0.1 + mrr, mrr)
        write_run(runs, label, dataset="nowplaying", **told)
    write_run(runs, "srgnn", **figures(0.5, 0.195))
    write_run(runs, "vsknn", dataset="tmall", **figures(0.4, 0.2))  # nothing is trained there
    (root / "README.md").write_text(block("summary"))
    script.main([], root)
    assert table(content(root, "README.md", "summary")) == [
        ["Diginetica", "SR-GNN", "50.00", "19.50"],
        ["", "*SGNN-HN, best test epoch*", "*55.67*", "*19.45*"],
        ["Nowplaying", "GRU4Rec", "31.00", "21.00"],
        ["", "SR-GNN", "21.04", "11.04"],
        ["", "STAN", "17.43", "7.43"],
    ]


def test_the_file_of_all_figures(root: Path) -> None:
    write_study(root)
    script.main([], root)
    with (root / "study" / "results.csv").open(newline="") as file:
        first, *rows = csv.DictReader(file)
    assert list(first)[:8] == [
        *("dataset", "model", "protocol", "seeds"),
        *("hr@20", "hr@20_sd", "mrr@20", "mrr@20_sd"),
    ]
    names = ("hr@5", "hr@10", "mrr@5", "mrr@10", "ndcg@20", "coverage@20", "tied")
    assert list(first)[8:-4] == [part for name in names for part in (name, f"{name}_sd")]
    assert list(first)[-4:] == ["train_seconds", "device", "parameters", "command"]
    assert {key: first[key] for key in list(first)[:8]} == {
        "dataset": "diginetica",
        "model": "srgnn",
        "protocol": "honest",
        "seeds": "2",
        "hr@20": "51.00",
        "hr@20_sd": "1.41",
        "mrr@20": "20.50",
        "mrr@20_sd": "0.71",
    }
    assert (first["train_seconds"], first["parameters"]) == ("100.5", "1234")
    assert first["command"] == "srgnn-train dataset=diginetica seed=0,1 -m"
    models = ["srgnn_plain", "vsknn", "markov", "best_epoch", "mine"]
    assert [row["model"] for row in rows] == models
    assert rows[0]["hr@20_sd"] == "" and rows[1]["parameters"] == ""
    said = content(root, "docs/results.md", "metrics")
    assert table(said)[0][1:5] == ["SR-GNN", "50.00", "50.00", "51.00"]
    commands = said[said.index("```") + 1 : -1]
    assert len(commands) == len(table(said)) and commands[0] == first["command"]


def test_runs_of_an_earlier_version_have_no_slices_by_clicks(root: Path) -> None:
    """Their ranks lack them; another model's are shown."""
    runs = root / "study" / "runs"
    write_run(runs, seed=0, ranks=random_table().drop("clicks"), **figures(0.5, 0.2))
    script.main([], root)
    said = content(root, "docs/results.md", "slices")
    assert not any("clicks in training" in line for line in said)
    write_run(runs, "vsknn", ranks=random_table(1), **figures(0.4, 0.2))
    script.main([], root)
    said = content(root, "docs/results.md", "slices")
    by_clicks = next(i for i, line in enumerate(said) if "clicks in training" in line)
    by_decile = next(i for i, line in enumerate(said) if "decile" in line)
    assert [row[1] for row in table(said[by_clicks:by_decile])][1:] == ["VSKNN"]
    assert [row[1] for row in table(said[by_decile:])][1:] == ["SR-GNN", "VSKNN"]


def test_slices_and_intervals_on_the_page(root: Path) -> None:
    runs = write_study(root)
    script.main([], root)
    said = content(root, "docs/results.md", "slices")
    parts = said.index("")
    share, *rows = table(said[:parts])
    assert [row[1] for row in rows] == ["SR-GNN", "SR-GNN, plain", "VSKNN", "Markov, first order"]
    one, plain, rival, _ = (found.samples() for found in found_with_ranks(runs))
    assert one is not None and plain is not None and rival is not None
    part = slices(one)[4]
    assert share[1] == "*share of the samples*" and share[6] == f"{part.share:.1f} %"
    assert rows[0][6] == pair(part)
    _, by_decile = (i for i, line in enumerate(said) if line.startswith("By the target's"))
    share, *rows = table(said[parts:by_decile])
    rare = slices(one)[9]
    assert (rare.kind, rare.name) == ("clicks", "rare")
    assert share[3] == f"{rare.share:.1f} %" and rows[0][3] == pair(rare)
    share, *rows = table(said[by_decile:])  # and by popularity
    last = slices(one)[21]
    assert (last.kind, last.name) == ("decile", "unseen")
    assert share[12] == f"{last.share:.1f} %" and rows[0][12] == pair(last)
    assert said[-1] == "![Diginetica](slices_diginetica.png)"
    if importlib.util.find_spec("matplotlib"):
        picture = (root / "docs" / "slices_diginetica.png").read_bytes()
        assert picture.startswith(b"\x89PNG")

    (row,) = table(content(root, "docs/results.md", "union"))
    assert row[:3] == ["Diginetica", "2 and 2", "SR-GNN"]
    found = 0
    tables = [read_ranks(path) for path in runs.glob("diginetica/*/*/ranks.parquet")]
    for ranks in zip(*(each["rank"] for each in tables), strict=True):
        found += min(ranks) <= 20
    best, trained, every = map(float, row[3:])
    assert every == pytest.approx(100 * found / len(tables[0]), abs=0.006)
    assert best == pytest.approx(100 * one.values["hr@20"].mean(), abs=0.006)
    assert best <= trained <= every

    rows = table(content(root, "docs/results.md", "bootstrap"))
    assert [row[:4] for row in rows] == [
        ["Diginetica", "SR-GNN", "VSKNN", "10"],  # not Markov, which is worse
        ["", "SR-GNN", "SR-GNN, plain", "10"],
    ]
    for row, other in zip(rows, (rival, plain), strict=True):
        apart = paired_bootstrap(one, other)
        for cell, figure in zip(row[4:], apart.values(), strict=True):
            shown = re.fullmatch(r"([+−][\d.]+) \(([+−][\d.]+) to ([+−][\d.]+)\)", cell)
            assert shown is not None
            values = [float(text.replace("−", "-")) for text in shown.groups()]
            assert values == pytest.approx(list(figure)[:3], abs=0.006)


def pair(part: Slice) -> str:
    return f"{part.metrics['hr@20']:.2f} / {part.metrics['mrr@20']:.2f}"


def found_with_ranks(runs: Path) -> list[Configuration]:
    order = ("srgnn", "srgnn_plain", "vsknn", "markov")
    known = {found.label: found for found in read_study(runs) if found.dataset == "diginetica"}
    return [known[label] for label in order]


def write_ablation(root: Path) -> Path:
    runs = root / "study" / "runs"
    for dataset in ("diginetica", "yoochoose1_64"):
        for label, hr, mrr in (
            ("default", 0.50, 0.20),
            ("no_dropout", 0.48, 0.21),
            ("more_layers", 0.51, 0.19999),
            ("no_positions", 0.47, 0.17),
        ):
            told = figures(hr, mrr) | {"test": None}
            write_run(runs, f"ablation/{label}", dataset=dataset, model="srgnn", **told)
    return runs


@pytest.mark.usefixtures("pictures")
def test_the_ablation(root: Path) -> None:
    write_ablation(root)
    with (root / "README.md").open("a") as file:
        file.write(block("ablation"))
    script.main([], root)
    said = content(root, "docs/ablation.md", "ablation")
    assert said[0].endswith("(ablation.png)")
    rows = table(said[2:])
    assert [row[1:] for row in rows[:4]] == [
        ["default", "1", "50.00", "", "20.00", "", "100"],
        ["more layers", "1", "51.00", "+1.00", "20.00", "+0.00", "100"],
        ["no dropout", "1", "48.00", "−2.00", "21.00", "+1.00", "100"],
        ["no positions", "1", "47.00", "−3.00", "17.00", "−3.00", "100"],
    ]
    assert [row[0] for row in rows] == ["Diginetica", "", "", "", "Yoochoose 1/64", "", "", ""]
    commands = said[said.index("```") + 1 : -1]
    assert len(commands) == 8 and commands[0] == "srgnn-train dataset=diginetica seed=0"
    assert content(root, "README.md", "ablation")[0].endswith("(docs/ablation.png)")
    assert content(root, "docs/results.md", "headline") == [script.NONE]  # nothing is tested
    pytest.importorskip("matplotlib")
    head = (root / "docs" / "ablation.png").read_bytes()[:20]
    assert head[:4] == b"\x89PNG" and int.from_bytes(head[16:20], "big") == 1200


def test_a_change_is_that_of_the_seeds_which_both_have(tmp_path: Path) -> None:
    for seed, hr in enumerate((0.5, 0.6)):
        write_run(tmp_path, "ablation/default", seed, **figures(hr, 0.2))
    write_run(tmp_path, "ablation/other", 1, **figures(0.61, 0.2))
    part = Ablation(tmp_path / "diginetica" / "ablation")
    assert part.change(part.others[0]) == pytest.approx(1)
    write_run(tmp_path, "ablation/third", 2, **figures(0.61, 0.2))
    with pytest.raises(ValueError, match=r"ablation.third has no seed of \[0, 1\]"):
        Ablation(tmp_path / "diginetica" / "ablation")


def test_an_ablation_needs_its_default_and_validation(tmp_path: Path) -> None:
    write_run(tmp_path, "ablation/other")
    folder = tmp_path / "diginetica" / "ablation"
    with pytest.raises(ValueError, match="no run of a label 'default'"):
        Ablation(folder)
    write_run(tmp_path, "ablation/default", valid=None)
    with pytest.raises(ValueError, match=r"default.0 has no metrics of validation"):
        Ablation(folder)


def test_check_sees_what_has_changed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_study(root)
    script.main([], root)
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    assert script.main(["--check"], root) == 0
    capsys.readouterr()
    path = runs / "diginetica" / "markov" / "0" / "metrics.json"
    told = json.loads(path.read_text())
    told["test"]["hr@5"] = 0.31
    path.write_text(json.dumps(told))
    assert script.main(["--check"], root) == 1
    printed = capsys.readouterr().out
    assert "study/results.csv, docs/results.md" in printed and "README" not in printed
    assert {p: p.read_bytes() for p in before if p != path} == {
        p: text for p, text in before.items() if p != path
    }
    script.main([], root)
    assert script.main(["--check"], root) == 0
    readme = root / "README.md"
    readme.write_text(readme.read_text().replace("51.00", "55.00"))  # by hand, in a block
    assert script.main(["--check"], root) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (block("headlines"), "README.md: unknown marker 'headlines'; there are summary, headline"),
        ("<!-- headline -->\n", "marker 'headline' is not closed"),
        ("<!-- /headline -->\n", "marker '/headline' where 'none' is open"),
        ("<!-- headline -->\n<!-- /metrics -->\n", "marker '/metrics' where 'headline' is open"),
        ("<!-- headline -->\n<!-- metrics -->\n", "marker 'metrics' where 'headline' is open"),
    ],
)
def test_markers_that_are_wrong(root: Path, text: str, said: str) -> None:
    (root / "README.md").write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        script.main([], root)
    assert content(root, "docs/results.md", "headline") == []  # no page is written
