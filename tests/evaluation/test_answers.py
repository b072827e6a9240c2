"""The models of an A/B test by a service's log: against loops, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pyg_srgnn.commands.compare import main
from pyg_srgnn.evaluation.answers import compare_models, read_answers, read_clicks
from pyg_srgnn.reports.answers import answers_table


def line(session: str | None, model: str, items: list[int], best: list[int], at: int = 0) -> str:
    time = f"2026-01-01T00:00:{at:02d}.500+00:00"
    answer = {"time": time, "session": session, "model": model, "items": items}
    return json.dumps(answer | {"recommended": best})


def drawn(path: Path) -> list[tuple[str, list[int], list[list[int]]]]:
    """A log of 60 sessions whose model B is right more often, and its sessions."""
    random, sessions, rows = Random(0), [], []
    for number in range(60):
        model = "B" if number % 3 == 0 else "A"
        items = [random.randrange(50) for _ in range(random.randint(1, 6))]
        lists = []
        for place in range(len(items)):
            best = random.sample(range(50), 25)
            if place + 1 < len(items) and random.random() < (0.7 if model == "B" else 0.3):
                best.insert(random.randrange(10), items[place + 1])
            lists.append(list(dict.fromkeys(best)))
            rows.append((place, line(f"s{number}", model, items[: place + 1], lists[-1], place)))
        sessions.append((model, items, lists))
    rows.sort(key=lambda row: row[0])  # the sessions run side by side
    path.write_text("\n".join(text for _, text in rows) + "\n")
    return sessions


def test_each_model_is_that_of_loops(tmp_path: Path) -> None:
    sessions = drawn(tmp_path / "log")
    found = compare_models(read_answers(tmp_path / "log"), resamples=400, seed=1)
    assert found["k"] == 20
    means: dict[str, tuple[float, float]] = {}
    for model in "AB":
        hits, reciprocal, count = 0, 0.0, 0
        mine = [(items, lists) for name, items, lists in sessions if name == model]
        for items, lists in mine:
            for place, item in enumerate(items[1:]):
                best = lists[place][:20]
                count += 1
                hits += item in best
                reciprocal += 1 / (best.index(item) + 1) if item in best else 0
        of = found["models"][model]
        assert of["answers"] == count
        assert of["sessions"] == sum(len(items) > 1 for items, _ in mine)
        means[model] = (100 * hits / count, 100 * reciprocal / count)
        assert (of["hr"]["mean"], of["mrr"]["mean"]) == pytest.approx(means[model])
        assert of["hr"]["low"] < of["hr"]["mean"] < of["hr"]["high"]
    apart = found["difference"]["hr"]
    assert apart["mean"] == pytest.approx(means["B"][0] - means["A"][0])
    assert 0 < apart["low"] < apart["mean"] < apart["high"] and apart["p"] < 0.05
    table = answers_table(found)
    assert f"{means['B'][0]:.2f}" in table and f"{apart['mean']:+.2f}" in table
    ends = sum(1 for _, items, _ in sessions)
    assert f"Left out: {ends} answers without a later click." in table


def test_later_clicks_of_a_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(line("a", "A", [1], [7, 8], 1) + "\n" + line("b", "B", [1], [7, 8], 1) + "\n")
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(
        "session,item,time\na,9,2026-01-01T00:00:01\na,8,2026-01-01T00:00:02\n"
        "a,7,2026-01-01T00:00:03\nb,3,2026-01-01T00:00:09\nc,1,2026-01-01T00:00:09\n"
    )
    found = compare_models(read_answers(log), read_clicks(clicks), 50)
    assert found["models"]["A"]["mrr"]["mean"] == 50 and found["models"]["B"]["hr"]["mean"] == 0
    with pytest.raises(ValueError, match="no click followed any of 2 answers"):
        compare_models(read_answers(log))
    log.write_text(line("007", "A", [1], [7, 8], 1) + "\n")
    clicks.write_text("session,item,time\n007,8,1893456000\n")  # ids are not numbers
    assert compare_models(read_answers(log), read_clicks(clicks), 50)["models"]["A"]["answers"] == 1
    clicks.write_text("session,item,time\na,1,noon\n")
    with pytest.raises(ValueError, match=r"clicks\.csv: column time"):
        read_clicks(clicks)
    clicks.write_text("session,time\na,1\n")
    with pytest.raises(
        ValueError, match=r"clicks\.csv: column item is missing among session, time"
    ):
        read_clicks(clicks)
    with pytest.raises(ValueError, match=r"log: expected a file \.csv, \.parquet, \.jsonl"):
        read_clicks(log)


def test_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    rows = [
        line("a", "A", [1], [2]),
        line("a", "A", [1, 2], [3]),
        line(None, "A", [1], [3]),
        line("b", "A", [1], [3]),
        line("b", "B", [1, 3], [4]),  # another share was set meanwhile
        line("b", "B", [1, 3, 4], [4]),
        line("c", "A", [5], [6])[:30],  # the service was killed
        line("e", "B", [], [6]),  # the page asks before the first click
        line("e", "B", [], [6]),
        line("d", "B", [5], [6]),
        line("d", "B", [9, 7], [8]),  # the page has taken a click back
    ]
    log.write_text("\n".join(rows) + "\n")
    assert main(["--log", str(log), "--draws", "50", "--json"]) == 0
    found: Any = json.loads(capsys.readouterr().out)
    assert found["models"].keys() == {"A"} and found["models"]["A"]["hr"]["mean"] == 100
    assert found["left_out"] == {
        "answers without a later click": 6,
        "answers without a session": 1,
        "sessions of both models": 1,
        "broken lines": 1,
    }
    assert "difference" not in found
    log.write_text("no\nlog\nat all\n")
    assert main(["--log", str(log)]) == 1
    assert "log: line 1 (and 2 more) is no answer of a service" in capsys.readouterr().err
    assert main(["--log", str(tmp_path / "nowhere")]) == 1


@pytest.mark.parametrize("words", [["--log", "x", "run"], ["run", "run", "--clicks", "x"]])
def test_arguments_that_are_wrong(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert "--log" in capsys.readouterr().err


def test_a_session_of_which_a_service_has_kept_the_last_clicks(tmp_path: Path) -> None:
    log = tmp_path / "log"
    clicks = [[1], [1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [3, 4]]  # three at the most
    rows = [line("a", "A", items, [items[-1] + 1]) for items in clicks]
    rows += [line("b", "A", [5, 5, 5], [5])] * 2  # asked again
    log.write_text("\n".join(rows) + "\n")
    found = compare_models(read_answers(log), resamples=10)
    assert found["models"]["A"]["answers"] == 4 and found["models"]["A"]["hr"]["mean"] == 100


def test_times_that_are_none(tmp_path: Path) -> None:
    log, clicks = tmp_path / "log", tmp_path / "clicks.csv"
    rows = [line("a", "A", [1], [2]), line("a", "A", [1, 2], [3])]
    rows += [rows[0].replace("2026-01-01T00:00:00.500+00:00", "yesterday")]
    log.write_text("\n".join(rows) + "\n")
    assert read_answers(log).broken == 1
    log.write_text(json.dumps(json.loads(rows[0]) | {"time": 5}) + "\n")
    assert read_answers(log).broken == 1
    clicks.write_text("session,item,time\na,2,2026-01-01T00:00:01\na,3,\n")
    with pytest.raises(ValueError, match=r"clicks.csv: row 2 has no time"):
        read_clicks(clicks)


@pytest.mark.parametrize(("row", "time"), [(1, "5"), (2, "1767225601000")])
def test_times_in_another_unit(tmp_path: Path, row: int, time: str) -> None:
    times = {1: "1767225601", 2: "1767225602"} | {row: time}
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(f"session,item,time\na,2,{times[1]}\na,3,{times[2]}\n")
    said = rf"clicks\.csv: row {row} has the time {time}, before 1990 .* seconds since 1970"
    with pytest.raises(ValueError, match=said):
        read_clicks(clicks)
