"""Somebody's own click log, from the file to recommendations."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import polars as pl
import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.commands import evaluate, prepare, recommend, train
from tests.commands import run

pytestmark = pytest.mark.slow

SMALL = ["model.channels=8", "trainer.max_epochs=1", "trainer.accelerator=cpu", "batch_size=50"]
COLOURS = ["red", "blue", "green", "black", "white"]
THINGS = ["shoe", "hat", "coat", "shirt, long", "sock"]


def write(path: Path, sessions: int, things: list[str], start: int, seed: int) -> Path:
    """Clicks of users who look at things of one colour, with text ids that need quotes."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        file.write("Visitor-ID;sku;event_time\n")
        for session in range(sessions):
            colour = draw.choice(COLOURS)
            for click in range(draw.randint(2, 6)):
                time = start + session * 4000 + click * 30
                file.write(f'v{session % 40};"{colour} {draw.choice(things)}";{time}\n')
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def options(folder: Path) -> list[str]:
    log = write(folder / "clicks.csv", 400, THINGS, 1_704_067_200, seed=1)
    return ["dataset=click_log", f"dataset.path={log}", "dataset.gap=30m", f"dataset.root={folder}"]


@pytest.fixture(scope="module")
def trained(folder: Path, options: list[str]) -> Path:
    result = run(train.main, "srgnn-train", *options, *SMALL, f"hydra.run.dir={folder / 'run'}")
    assert result.status == 0, result.err
    return folder / "run"


def test_it_is_prepared_and_reported(options: list[str], tmp_path: Path) -> None:
    result = run(prepare.main, "srgnn-prepare", *options, f"dataset.root={tmp_path}")
    assert result.status == 0, result.err
    guess = "user=Visitor-ID (guessed), item=sku (guessed), time=event_time (guessed)"
    assert guess in result.out + result.err
    page = Path(next(line for line in result.out.splitlines() if line.startswith("Report: "))[8:])
    report = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert report["items"] == 25 and report["columns"]["item"] == "sku"
    parts = report["parts"]
    assert parts["training"]["sessions"] + parts["test"]["sessions"] == 400
    assert report["rows"] == sum(part["clicks"] for part in parts.values())


def test_rows_are_chosen_on_the_command_line(options: list[str], tmp_path: Path) -> None:
    chosen = ["dataset.where={sku: [red shoe, red hat]}", "dataset.min_support=1"]
    result = run(prepare.main, "srgnn-prepare", *options, *chosen, f"dataset.root={tmp_path}")
    assert result.status == 0, result.err
    (page,) = tmp_path.rglob("report.json")
    report = json.loads(page.read_text(encoding="utf-8"))
    assert report["items"] == 2 and report["preparation"]["where"] == {
        "sku": ["red shoe", "red hat"]
    }


def test_it_recommends_text_ids(trained: Path) -> None:
    recommender = Recommender.load(trained)
    assert set(recommender.vocabulary.ids) == {f"{c} {t}" for c in COLOURS for t in THINGS}
    (best,) = recommender.recommend([["red hat", "red shirt, long"]], k=5)
    assert len(best) == 5 and all(item in recommender.vocabulary for item, _ in best)
    items = '["red hat","red shirt, long"]'
    result = run(recommend.main, "srgnn-recommend", f"checkpoint={trained}", f"items={items}")
    assert result.status == 0 and best[0][0] in result.out


def test_it_recommends_for_every_visitor_of_a_log(trained: Path, folder: Path) -> None:
    """The log is read as the one that it was trained on: a visitor's last session counts."""
    log = write(folder / "today.csv", 60, THINGS, 1_707_000_000, seed=3)
    output = folder / "top.parquet"
    result = run(
        recommend.main,
        "srgnn-recommend",
        f"checkpoint={trained}",
        f"input={log}",
        f"output={output}",
        "k=3",
    )
    assert result.status == 0, result.err
    assert f"40 sessions: {output}" in result.out
    rows = {row["session"]: row["items"] for row in pl.read_parquet(output).to_dicts()}
    clicks = pl.read_csv(log, separator=";").rows()
    last: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    for visitor, item, time in sorted(clicks, key=lambda click: click[2]):
        if time - times.get(visitor, 0) > 1800:
            last[visitor] = []
        last[visitor].append(item)
        times[visitor] = time
    assert rows.keys() == last.keys()
    recommender = Recommender.load(trained)
    for visitor, session in last.items():
        (best,) = recommender.recommend([session], 3)
        assert rows[visitor] == [item for item, _ in best]


@pytest.mark.parametrize(
    "keys", [[], ["items=[1]", "input=a.csv", "output=b.parquet"], ["input=a.csv"]]
)
def test_a_session_or_a_file_of_them(trained: Path, keys: list[str]) -> None:
    result = run(recommend.main, "srgnn-recommend", f"checkpoint={trained}", *keys)
    assert result.status == 1
    assert "input" in result.err + result.out


def test_it_is_evaluated_again(trained: Path, folder: Path) -> None:
    result = run(
        evaluate.main,
        "srgnn-evaluate",
        f"checkpoint={trained}",
        "baselines=[]",
        f"hydra.run.dir={folder / 'evaluation'}",
    )
    assert result.status == 0, result.err
    again = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    assert again["metrics"]["model"] == json.loads((trained / "metrics.json").read_text())["test"]


def test_new_clicks_keep_the_numbers_and_start_warm(trained: Path, folder: Path) -> None:
    later = write(folder / "later.csv", 200, [*THINGS, "scarf"], 1_707_000_000, seed=2)
    result = run(
        train.main,
        "srgnn-train",
        "dataset=click_log",
        f"dataset.path=[{folder / 'clicks.csv'},{later}]",
        "dataset.gap=30m",
        f"dataset.root={folder}",
        f"dataset.vocabulary={trained}",
        f"warm_start={trained}",
        *SMALL,
        f"hydra.run.dir={folder / 'warm'}",
    )
    assert result.status == 0, result.err
    assert "25 items known, 5 new from neighbours" in result.out + result.err
    old = json.loads((trained / "vocabulary.json").read_text())
    new = json.loads((folder / "warm" / "vocabulary.json").read_text())
    assert new[:25] == old and {item.split()[1] for item in new[25:]} == {"scarf"}


def test_a_warning_is_one_line_and_in_the_log_of_every_run(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write(logs / "clicks.csv", 100, THINGS, 1_704_067_200, seed=3)
    (logs / "notes.txt.bak").write_text("no clicks\n", encoding="utf-8")
    settings = ["dataset=click_log", f"dataset.path={logs}", "dataset.gap=30m"]
    settings += [f"dataset.root={tmp_path}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    counts = ["model=popularity", "seed=0,1", "-m", "baselines=[]", "test=false"]
    for _ in range(2):  # resumed, the sweep looks at the data before its runs do
        result = run(train.main, "srgnn-train", *settings, *counts)
        assert result.status == 0 and "UserWarning" not in result.out + result.err, result.err
    for job in ("seed-0", "seed-1"):
        told = (tmp_path / "sweep" / job / "train.log").read_text(encoding="utf-8")
        assert len(re.findall(rf"^warning: {logs}: files left out: 1, ", told, re.MULTILINE)) == 2


def test_a_bad_row_is_told_in_one_message(folder: Path) -> None:
    log = folder / "bad.csv"
    log.write_text("session,item,time\n1,a,1704067200\n1,,1704067201\n", encoding="utf-8")
    result = run(
        train.main,
        "srgnn-train",
        "dataset=click_log",
        f"dataset.path={log}",
        f"dataset.root={folder}",
        f"hydra.run.dir={folder / 'bad'}",
    )
    assert result.status == 1
    assert f"dataset=click_log: {log}, line 3: item is empty" in result.err + result.out
    assert "Traceback" not in result.err
