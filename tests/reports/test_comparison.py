"""Runs compared: which may be, seeds averaged row by row, every pair tested, the command."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

from pyg_srgnn.commands.compare import main
from pyg_srgnn.evaluation.samples import Samples
from pyg_srgnn.evaluation.significance import benjamini_hochberg, holm, mcnemar, paired_bootstrap
from pyg_srgnn.reports.comparison import compare, comparison_table, read_side
from tests.reports.tables import random_table, save
from tests.results import run_result


def write_run(
    folder: Path,
    ranks: pl.DataFrame,
    seed: int = 0,
    dataset: str = "diginetica",
    ties: str = "conservative",
    metrics: dict[str, Any] | None = None,
    **keys: Any,
) -> Path:
    """What ``srgnn-train`` leaves of a run that a comparison reads."""
    (folder / ".hydra").mkdir(parents=True)
    run_result(dataset=dataset, seed=seed, **metrics or {}).write(folder)
    config = OmegaConf.create({"seed": seed, "ties": ties, "model": {"name": "srgnn"}})
    for key, value in keys.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    OmegaConf.save(config, folder / "config.yaml")
    OmegaConf.save([f"seed={seed}"], folder / ".hydra" / "overrides.yaml")
    save(ranks, folder / "ranks.parquet")
    return folder


def averaged(*seeds: int) -> Samples:
    return Samples.average([random_table(seed) for seed in seeds])


def uncorrected(test: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in test.items() if key not in ("p_holm", "p_bh")}


def test_every_pair_is_tested(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(i), random_table(i, best=1 + 4 * i)) for i in range(3)]
    found = compare([read_side(path) for path in paths], resamples=200, seed=3)
    every = [Samples.average([random_table(i, best=1 + 4 * i)]) for i in range(3)]
    assert found["test"] == {"dataset": "diginetica", "split": "test", "ties": "conservative"}
    assert (found["rows"], found["sessions"]) == (47, 10)
    assert [run["name"] for run in found["runs"]] == list(map(str, paths))
    for run, samples in zip(found["runs"], every, strict=True):
        assert run["hr@20"] == pytest.approx(100 * samples.values["hr@20"].mean())
        assert run["mrr@20"] == pytest.approx(100 * samples.values["mrr@20"].mean())
        assert run["what"] == "srgnn, seed 0" and run["seeds"] == 1
    pairs = list(combinations(range(3), 2))
    assert [(pair["one"], pair["other"]) for pair in found["pairs"]] == pairs
    for (i, j), pair in zip(pairs, found["pairs"], strict=True):
        for metric, difference in paired_bootstrap(every[i], every[j], 200, 3).items():
            assert uncorrected(pair[metric]) == pytest.approx(difference._asdict())
        hits = mcnemar(*(every[side].values["hr@20"] == 1 for side in (i, j)))._asdict()
        assert uncorrected(pair["mcnemar"]) == hits
    for test in ("hr@20", "mrr@20", "mcnemar"):  # each on its own, over the pairs
        p = [pair[test]["p"] for pair in found["pairs"]]
        assert [pair[test]["p_holm"] for pair in found["pairs"]] == holm(p)
        assert [pair[test]["p_bh"] for pair in found["pairs"]] == benjamini_hochberg(p)


def test_a_run_is_not_apart_from_itself(tmp_path: Path) -> None:
    """Whatever the order of the rows in the file."""
    table = random_table(1)
    one = write_run(tmp_path / "one", table)
    other = write_run(tmp_path / "other", table.sample(fraction=1, shuffle=True, seed=2))
    (pair,) = compare([read_side(one), read_side(other)], 100)["pairs"]
    for metric in ("hr@20", "mrr@20"):
        nothing = {"mean": 0, "low": 0, "high": 0, "p": 1, "p_holm": 1, "p_bh": 1}
        assert pair[metric] == nothing
    assert pair["mcnemar"]["p"] == 1


def test_seeds_are_averaged_row_by_row(tmp_path: Path) -> None:
    for seed in (0, 2, 11):
        write_run(tmp_path / "sweep" / f"seed={seed}", random_table(seed), seed)
    write_run(tmp_path / "alone", random_table(5), seed=5)
    (tmp_path / "sweep" / "unfinished").mkdir()
    sides = [read_side(tmp_path / "sweep"), read_side(tmp_path / "alone")]
    assert sides[0].seeds == 3 and sides[0].what == "srgnn, seed 0, 2, 11"
    found = compare(sides, 150)
    expected = paired_bootstrap(averaged(0, 2, 11), averaged(5), 150)
    for metric, difference in expected.items():
        assert found["pairs"][0][metric]["mean"] == pytest.approx(difference.mean)
        assert found["pairs"][0][metric]["p"] == difference.p
    assert found["pairs"][0]["mcnemar"] is None  # averaged hits are neither yes nor no


def test_a_baseline_of_the_run(tmp_path: Path) -> None:
    table = random_table(0).with_columns(random_table(1)["rank"].alias("rank_stan"))
    run = write_run(tmp_path / "run", table)
    side = read_side(run, "stan")
    assert side.name == f"{run}: stan" and side.what == "stan"
    assert (side.samples.values["hr@20"] == averaged(1).values["hr@20"]).all()
    with pytest.raises(ValueError, match=r"run: .* baseline 'vsknn'; there are stan"):
        read_side(run, "vsknn")


def test_an_evaluation_is_compared_with_a_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", random_table(0))
    save(random_table(1), tmp_path / "evaluation" / "ranks.parquet")
    told = {"dataset": "diginetica", "split": "test", "ties": "conservative"}
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(told))
    sides = [read_side(run), read_side(tmp_path / "evaluation")]
    assert sides[1].what == "model"
    assert compare(sides, 50)["test"] == told
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(told | {"split": "valid"}))
    with pytest.raises(ValueError, match=r"split=test, .*evaluation with split=valid"):
        compare([sides[0], read_side(tmp_path / "evaluation")], 50)
    (tmp_path / "evaluation" / "evaluation.json").write_text("{")
    with pytest.raises(ValueError, match=r"evaluation\.json is not a JSON object"):
        read_side(tmp_path / "evaluation")


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    one = read_side(write_run(tmp_path / "one", random_table(0)))
    other = read_side(write_run(tmp_path / "other", random_table(0), dataset="tmall"))
    with pytest.raises(ValueError, match=r"one was .* dataset=diginetica, .*other with dataset=tm"):
        compare([one, other], 50)
    other = read_side(write_run(tmp_path / "tied", random_table(0), ties="median"))
    with pytest.raises(ValueError, match=r"ties=conservative, .*tied with ties=median"):
        compare([one, other], 50)
    other = read_side(write_run(tmp_path / "short", random_table(0)[:-3]))
    with pytest.raises(ValueError, match=r"one, .*short: .* 47 and 44 samples"):
        compare([one, other], 50)
    later = random_table(0).with_columns(pl.col("prefix") + 1)
    other = read_side(write_run(tmp_path / "later", later))
    with pytest.raises(ValueError, match=r"later: .* differ in the prefix of 47 samples"):
        compare([one, other], 50)
    with pytest.raises(ValueError, match="two runs"):
        compare([one], 50)
    with pytest.raises(ValueError, match=r"nowhere is no directory, so it holds no ranks\.parquet"):
        read_side(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no ranks\.parquet; srgnn-train writes it"):
        read_side(tmp_path / "empty")


def data(**hashes: str) -> dict[str, Any]:
    """The fingerprint of data, as ``metrics.json`` has it."""
    items = {"count": 9, "unordered": 1, "sha256": hashes.pop("items", "i")}
    parts = {
        part: {"sessions": 1, "clicks": 2, "sha256": hashes.get(part, "s")}
        for part in ("training", "test")
    }
    return {"data": {"items": items, **parts}}


def test_other_data_is_not_compared(tmp_path: Path) -> None:
    """Rows of another test set, or of another catalogue; training sessions may differ."""

    def side(name: str, metrics: dict[str, Any]) -> Any:
        return read_side(write_run(tmp_path / name, random_table(0), metrics=metrics))

    one, unknown = side("one", data()), side("old", {})
    for name, hashes in (("test", {"test": "x"}), ("items", {"items": "x"})):
        with pytest.raises(
            ValueError, match=rf"one was .* data=\w{{12}}, .*{name} with data=\w+; "
        ):
            compare([one, side(name, data(**hashes))], 50)
    assert compare([one, side("longer", data(training="x"))], 50)["test"]["data"]
    assert "data" not in compare([unknown, one], 50)["test"]

    for seed, training in enumerate("xy"):
        folder = tmp_path / "seeds" / str(seed)
        write_run(folder, random_table(seed), seed=seed, metrics=data(training=training))
    with pytest.raises(ValueError, match="training sessions: as many, but other clicks or times"):
        read_side(tmp_path / "seeds")


def test_the_members_of_mixtures_may_differ_in_their_seeds(tmp_path: Path) -> None:
    for seed in range(2):
        members = [f"runs/srgnn/{seed}", f"sweep/model=gru4rec,seed={1 - seed},scale=8"]
        keys = {"model__members": members, "distil": f"sweep/seed={seed}"}
        write_run(tmp_path / "mixed" / str(seed), random_table(seed), seed, **keys)
    assert read_side(tmp_path / "mixed").seeds == 2
    for kind, other in (("label", "runs/gru4rec/0"), ("other", "sweep/seed=1,scale=16")):
        write_run(tmp_path / kind / "0", random_table(0), 0, distil="runs/srgnn/0")
        write_run(tmp_path / kind / "1", random_table(1), 1, distil=other)
        with pytest.raises(ValueError, match="distil: runs/srgnn/0 and "):
            read_side(tmp_path / kind)


def test_a_directory_holds_seeds_of_one_configuration(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "0", random_table(0), seed=0, model__scale=12)
    write_run(tmp_path / "a" / "1", random_table(1), seed=1, model__scale=16)
    with pytest.raises(ValueError, match=r"more than the seed.*\n.*model\.scale: 12 and 16"):
        read_side(tmp_path / "a")
    write_run(tmp_path / "b" / "0", random_table(0), seed=4)
    write_run(tmp_path / "b" / "1", random_table(1), seed=4)
    with pytest.raises(ValueError, match=r"b/0 and .*b/1 are runs of the same seed 4"):
        read_side(tmp_path / "b")


def test_metrics_by_the_targets_clicks(tmp_path: Path) -> None:
    """The same targets of both sides, by the clicks that the first of them knows."""
    tables = [random_table(0).drop("clicks"), random_table(1), random_table(2)]
    tables[2] = tables[2].with_columns(clicks=pl.lit(7, pl.Int64))  # trained on other sessions
    sides = [read_side(write_run(tmp_path / str(i), table)) for i, table in enumerate(tables)]
    rare = tables[1]["clicks"].is_between(1, 20)
    found = compare(sides, 50)
    for run, table in zip(found["runs"], tables, strict=True):
        mine = run["targets"]
        assert mine["rare"]["samples"] == rare.sum()
        assert mine["rare"]["hr@20"] == pytest.approx(
            100 * (table.filter(rare)["rank"] <= 20).mean()
        )
        assert mine["warm"]["samples"] + mine["cold"]["samples"] == found["rows"] == 47
    said = comparison_table(found)
    figures = " / ".join(f"{mine['cold'][name]:.2f}" for name in ("hr@20", "mrr@20"))
    assert re.search(rf"^C .* {re.escape(figures)}$", said, re.MULTILINE)
    old = compare([sides[0], sides[0]], 50)
    assert old["runs"][0]["targets"] == {}
    assert "clicks in training" not in comparison_table(old)


def test_some_targets_alone_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = [random_table(seed) for seed in range(2)]
    runs = [write_run(tmp_path / str(seed), table) for seed, table in enumerate(tables)]
    cold = [table.filter(table["clicks"] == 0) for table in tables]
    assert main([*map(str, runs), "--targets", "cold", "--draws", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["targets"] == "cold" and found["rows"] == len(cold[0]) > 1
    assert found["sessions"] == cold[0]["session"].n_unique()
    expected = paired_bootstrap(*(Samples.average([table]) for table in cold), 50)
    for metric, difference in expected.items():
        assert found["pairs"][0][metric]["mean"] == pytest.approx(difference.mean)
        assert found["pairs"][0][metric]["p"] == difference.p
    assert "clicks in training" not in comparison_table(found)

    for name, table, said in (
        ("old", tables[0].drop("clicks"), "targets=cold: an earlier version"),
        ("warm", tables[0].with_columns(clicks=pl.lit(30, pl.Int64)), "targets=cold: the test set"),
    ):
        run = str(write_run(tmp_path / name, table))
        assert main([run, run, "--targets", "cold"]) == 1
        assert said in capsys.readouterr().err


# srgnn-compare


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(write_run(tmp_path / name, random_table(i))) for i, name in enumerate("abc")]
    output = tmp_path / "out" / "comparison.json"
    assert main([*runs, "--draws", "100", "--seed", "2", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    found = json.loads(output.read_text())
    assert found == compare([read_side(run) for run in runs], 100, 2)
    for letter, run in zip("ABC", found["runs"], strict=True):
        line = rf"{letter}  HR@20 +{run['hr@20']:.2f}  MRR@20 +{run['mrr@20']:.2f}  {run['name']} "
        assert re.search(line, said)
    lines = said.splitlines()
    for pair in found["pairs"]:
        name = f"{'ABC'[pair['one']]} − {'ABC'[pair['other']]}"
        (start,) = (i for i, line in enumerate(lines) if line.startswith(name))
        hr = pair["hr@20"]
        words = lines[start].removeprefix(name).split()
        assert words[:5] == ["HR@20", *(f"{hr[k]:+.2f}" for k in ("mean", "low")), "to",
                             f"{hr['high']:+.2f}"]  # fmt: skip
        assert words[5:] == [f"{hr[k]:.4f}" for k in ("p", "p_holm", "p_bh")]
        alone = f"{pair['mcnemar']['only_one']} and {pair['mcnemar']['only_other']}"
        assert "McNemar" in lines[start + 2] and alone in lines[start + 2]
    assert "100 draws of sessions." in said and "Holm" in said

    assert main([*runs[:2], "--draws", "100", "--unit", "rows", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == compare(
        [read_side(run) for run in runs[:2]], 100, unit="rows"
    )


def test_a_p_that_the_draws_cannot_tell_is_shown_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = random_table(0).with_columns(rank=pl.lit(1), rank_stan=pl.lit(30))
    run = str(write_run(tmp_path / "run", table))
    assert main([run, "--baseline", "stan", "--draws", "99"]) == 0
    said = capsys.readouterr().out
    assert said.count("≤ 0.0200") == 2 and said.count("≤ 0.0001") == 1 and "Holm" not in said
    assert f"{run}: stan (stan)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}"], "two runs to compare"),
        (["{run}", "{run}", "--draws", "0"], "--draws"),
        (["{run}", "{run}", "--draws", "many"], "invalid whole number value: 'many'"),
        (["{run}", "{run}", "--seed", "-1"], "--seed"),
        (["{run}", "{run}", "--unit", "clicks"], "--unit"),
        (["{run}", "{run}", "--targets", "new"], "--targets"),
    ],
)
def test_arguments_that_are_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    run = write_run(tmp_path / "run", random_table(0))
    with pytest.raises(SystemExit) as ended:
        main([argument.format(run=run) for argument in arguments])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_what_cannot_be_compared_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", random_table(0))
    assert main([str(run), str(tmp_path / "nowhere")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("srgnn-compare: ") and printed.err.count("\n") == 1
    assert printed.out == ""
    (run / "ranks.parquet").write_bytes(b"damaged")
    assert main([str(run), str(run)]) == 1
    assert "ranks.parquet holds no ranks" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and len(re.findall(r"^  srgnn-compare ", said, re.MULTILINE)) == 8
    assert all(key in said for key in ("RUN", "--baseline", "--unit", "--json", "--output"))
