"""Windows of a log: what is trained on, what is tested, and that nothing later gets in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from pyg_srgnn.data.sessions import SECONDS_PER_DAY, Sessions
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets import SessionDataset, WindowDataset, known_to, open_dataset
from tests.tiny import tiny_config

DAYS = 40
START = 19_000  # days since 1970
Log = list[tuple[str, str, int]]


def clicks(seed: int, first: int, last: int, items: Sequence[str]) -> Log:
    """Clicks of some days: (session, item, second); a session ends on the day on which it began."""
    random, rows = Random(seed), []
    for day in range(first, last):
        for number in range(6):
            start = (START + day) * SECONDS_PER_DAY + number * 10_000
            for place in range(random.randint(1, 6)):
                # Later days have other favourites, and items that no earlier day has.
                item = items[min(int(random.expovariate(0.12)) + day // 4, len(items) - 1)]
                rows.append((f"s{seed}-{day}-{number}", item, start + 60 * place))
    return rows


ITEMS = [f"item {i}" for i in range(60)]
LOG = clicks(0, 0, DAYS, ITEMS)


def opened(
    folder: Path, rows: Log, split: str, number: int, windows: int = 3, **more: Any
) -> SessionDataset:
    path = folder / "clicks.csv"
    lines = [f'{s},{i},{t},"name of {i}"' for s, i, t in rows]
    path.write_text("\n".join(["session,item,time,title", *lines]) + "\n")
    window = {"windows": windows, "window": "5d", "number": number}
    settings = {"name": "click_log", "root": folder, "path": path, "window": window}
    return open_dataset(settings | {"time_format": "s", "text": ["title"]} | more, split)


def cuts(rows: Log, number: int, windows: int = 3) -> tuple[int, int]:
    last = max(time for _, _, time in rows)
    cut = last - (windows - number) * 5 * SECONDS_PER_DAY
    return cut, cut + 5 * SECONDS_PER_DAY


def by_hand(rows: Log, number: int, support: int) -> tuple[list[list[str]], list[list[str]]]:
    """The training and the test sessions of a window in plain Python."""
    sessions: dict[str, list[tuple[int, str]]] = {}
    for session, item, time in rows:
        sessions.setdefault(session, []).append((time, item))
    timed = sorted((max(of)[0], [item for _, item in of]) for of in sessions.values())
    timed = [(time, items) for time, items in timed if len(items) >= 2]
    cut, end = cuts(rows, number)
    before = [items for time, items in timed if time <= cut]
    counts = Counter(item for items in before for item in items)
    kept = [[item for item in items if counts[item] >= support] for items in before]
    training = [items for items in kept if len(items) >= 2]
    known = {item for items in training for item in items}
    after = [items for time, items in timed if cut < time <= end]
    test = [[item for item in items if item in known] for items in after]
    return training, [items for items in test if len(items) >= 2]


@pytest.mark.parametrize("number", range(3))
def test_both_parts_are_those_of_plain_loops(tmp_path: Path, number: int) -> None:
    dataset = opened(tmp_path, LOG, "test", number, min_support=6)
    training, test = (part.to_lists(dataset.vocabulary) for part in dataset.parts)
    assert (training, test) == by_hand(LOG, number, 6)
    known = list(dict.fromkeys(item for items in training for item in items))
    assert dataset.vocabulary.ids == known, "numbered in the order of the first clicks"
    assert dataset.texts == [f"name of {item}" for item in known]
    assert not dataset.has_cold_items
    assert isinstance(dataset, WindowDataset) and dataset.window["number"] == number
    assert dataset.preparation is not None and dataset.preparation.min_support == 6


def test_nothing_after_the_cut_is_known_before_it(tmp_path: Path) -> None:
    """Two logs that part at the cut: sessions, catalogue, counts and texts are alike."""
    number, rules = 1, {"min_support": 5, "drop_longer": 5, "until_stable": True, "recent": 2}
    cut, _ = cuts(LOG, number)
    times = {}
    for session, _, time in LOG:
        times[session] = max(time, times.get(session, 0))
    end = max(LOG, key=lambda row: row[2])
    other = [row for row in LOG if times[row[0]] <= cut]
    # Many clicks on what was too rare before, and on what was not there at all; the same end.
    first = cut // SECONDS_PER_DAY + 1 - START
    other += clicks(9, first, DAYS - 1, [ITEMS[7 * i % 60] for i in range(60)])
    other += [("last", item, end[2]) for item in "xy"]
    assert max(time for _, _, time in other) == end[2]
    for split in ("train", "valid", "trainval"):
        one, two = (
            opened(tmp_path / name, rows, split, number, **rules)
            for name, rows in (("one", LOG), ("two", other))
            if (tmp_path / name).mkdir(exist_ok=True) is None
        )
        assert one.sessions == two.sessions and len(one.sessions)
        assert one.vocabulary == two.vocabulary and one.texts == two.texts
    one, two = (open_again(tmp_path / name, number, rules) for name in ("one", "two"))
    assert one.sessions != two.sessions, "the logs do not differ"


def open_again(folder: Path, number: int, rules: dict[str, Any]) -> SessionDataset:
    window = {"windows": 3, "window": "5d", "number": number}
    settings = {"name": "click_log", "root": folder, "path": folder / "clicks.csv"}
    return open_dataset(settings | {"window": window, "time_format": "s"} | rules, "test")


def test_cold_items_are_those_of_the_window_alone(tmp_path: Path) -> None:
    dataset = opened(tmp_path, LOG, "test", 1, cold="keep", min_support=1)
    training, test = dataset.parts
    trained = int(training.items.max()) + 1
    cold = dataset.vocabulary.ids[trained:]
    assert cold and dataset.has_cold_items
    assert set(cold) == set(dataset.vocabulary.decode(test.items.tolist())) - set(
        dataset.vocabulary.ids[:trained]
    )
    later = {item for _, item, time in LOG if time > cuts(LOG, 1)[1]}
    assert later - set(dataset.vocabulary.ids)


def test_windows_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"windows=8 window=5d: they are 40 days .* spans 39\.\d"):
        opened(tmp_path, LOG, "test", 0, windows=8)
    cut = cuts(LOG, 0)[0] - 3600  # of sessions that began before it, too
    other = [(session, f"{item} new" * (time > cut) or item, time) for session, item, time in LOG]
    with pytest.raises(
        ValueError, match=r"window 1 of 3 \(2022.*\): of \d+ test sessions none has"
    ):
        opened(tmp_path, other, "test", 0)
    with pytest.raises(ValueError, match="before it"):
        opened(tmp_path, LOG, "train", 0, min_support=1000)
    with pytest.raises(ValueError, match="'number' must be a whole number from 0 to 2"):
        opened(tmp_path, LOG, "test", 3)
    vocabulary = tmp_path / "vocabulary.json"
    Vocabulary(ITEMS).save(vocabulary)
    with pytest.raises(ValueError, match=r"evaluation=rolling: dataset\.vocabulary must be null"):
        opened(tmp_path, LOG, "test", 0, vocabulary=vocabulary)


def test_a_dataset_without_times(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("session,item\n" + "1,a\n1,b\n2,a\n2,b\n" * 9)
    settings = {"name": "click_log", "root": tmp_path, "path": tmp_path / "clicks.csv"}
    with pytest.raises(ValueError, match="sessions of click_log have no times"):
        open_dataset(settings | {"order": "file", "window": {}}, "test")


def test_a_dataset_that_is_no_log(tmp_path: Path) -> None:
    settings = dict(tiny_config(tmp_path).dataset) | {"new_items": 0.1}
    whole = open_dataset(settings, "trainval")
    found = open_dataset(settings | {"window": {"windows": 9, "window": "7d"}}, "train")
    assert len(found.parts[0]) == pytest.approx(len(whole.sessions) * 2 / 10, abs=9)
    assert found.num_items < whole.num_items and not found.has_cold_items
    last = open_dataset(settings | {"window": {"windows": 1, "window": "7d"}}, "test")
    assert len(last.sessions) == pytest.approx(60, abs=10)  # but those of new items


def test_the_last_clicks_alone(tmp_path: Path) -> None:
    dataset = open_dataset(dict(tiny_config(tmp_path).dataset), "test")
    lists = dataset.sessions.to_lists()
    last = dataset.last_clicks()
    assert [int(last[i].y) for i in range(len(last))] == [of[-1] for of in lists]
    some = dataset[3:40].last_clicks()
    numbers = [int(some[i].row) for i in range(len(some))]
    assert numbers == [n for n in (int(d.row) for d in last) if 3 <= n < 40] != []


def test_samples_that_another_vocabulary_knows(tmp_path: Path) -> None:
    dataset = open_dataset(dict(tiny_config(tmp_path).dataset), "test")
    vocabulary = Vocabulary([i for i in dataset.vocabulary.ids[::-1] if int(i) % 3])
    for samples in (dataset, dataset[5:90]):
        found = known_to(samples, vocabulary)
        expected = []
        for data in samples:
            session, cut = dataset.sessions.samples(data.row)
            raw = dataset.vocabulary.decode(dataset.sessions[int(session)].tolist())
            prefix = [i for i in vocabulary.encode(raw[: int(cut)]) if i >= 0]
            target = vocabulary.encode([raw[int(cut)]])[0]
            if prefix and target >= 0:
                expected.append((prefix, target))
        batch = found.batch(range(len(found)))
        assert batch.y.tolist() == [target for _, target in expected]
        sessions = batch.x[batch.alias_index].tolist()
        assert sessions == [item for prefix, _ in expected for item in prefix]


def test_sessions_by_other_numbers() -> None:
    sessions = Sessions.from_lists([[0, 1, 2], [1], [2, 2, 0]], times=[5, 6, 7])
    sessions.events = torch.tensor([0, 1, 2, 1, 0, 0, 1], dtype=torch.uint8)
    sessions.pauses = torch.tensor([0, 3, 4, 0, 0, 5, 6], dtype=torch.int32)
    found = sessions.renumbered(torch.tensor([4, -1, 0]))
    assert found.events is not None and found.events.tolist() == [0, 2, 0, 0, 1]
    assert found.pauses is not None and found.pauses.tolist() == [0, 7, 0, 5, 6]
    some = sessions.among(torch.tensor([True, False, True]))
    assert some.events is not None and some.events.tolist() == [0, 1, 2, 0, 0, 1]
    found.events = found.pauses = sessions.events = sessions.pauses = None
    assert found == Sessions.from_lists([[4, 0], [0, 0, 4]], times=[5, 7])
    assert sessions.among(torch.tensor([False, True, True])) == Sessions.from_lists(
        [[1], [2, 2, 0]], times=[6, 7]
    )
