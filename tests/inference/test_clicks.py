"""Sessions with types and times: recommended for as they were trained, by run and by export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn.checkpoint import Checkpoint, ModelScorer
from pyg_srgnn.datasets import ClickLog
from pyg_srgnn.export.write import export
from pyg_srgnn.functional.marks import MarkedSession
from pyg_srgnn.inference.clicks import Clicks, known_clicks
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.nn import SRGNN
from tests.clicklog.test_events import EVENTS, log, write
from tests.reference.names import randomise

TYPES = list(EVENTS)


def trained(dataset: ClickLog, **options: Any) -> Checkpoint:
    """A model with random weights, as if it were trained on a log."""
    settings = {"name": "srgnn", "num_items": dataset.num_items, "channels": 8}
    settings |= {"num_events": len(EVENTS), "events": True, "gaps": True} | options
    made = {key: value for key, value in settings.items() if key != "name"}
    model = randomise(SRGNN(**made), 0, 0.5)
    model.set_training(dataset.sessions)
    return Checkpoint(
        *(model.eval(), settings, dataset.vocabulary, torch.ones(dataset.num_items).long()),
        *({"name": "click_log"}, "train", "honest", Path("nowhere/best.ckpt")),
        preparation=dataset.preparation.to_dict(),
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ClickLog:
    root = tmp_path_factory.mktemp("clicks")
    rules: dict[str, Any] = {"min_support": 17, "test": 0.3, "event": "event", "events": EVENTS}
    file = write(log(sessions=60), root / "log.csv")
    return ClickLog(root, "trainval", path=file, pauses="time", **rules)


def raw_sessions(dataset: ClickLog) -> Iterator[tuple[int, Clicks]]:
    """A sample of most training sessions, and its raw clicks, unknown ones among them."""
    by_session: dict[int, list[dict[str, Any]]] = {}
    for row in log(sessions=60):
        by_session.setdefault(row["session"], []).append(row)
    ordered = sorted(
        (sorted(rows, key=lambda row: row["time"]) for rows in by_session.values()),
        key=lambda rows: rows[-1]["time"],
    )
    kept = [
        rows
        for rows in ordered
        if len(rows) > 1 and sum(row["item"] in dataset.vocabulary for row in rows) > 1
    ]
    row = 0
    for rows, items in zip(kept, dataset.sessions.to_lists(), strict=False):
        known = [at for at, one in enumerate(rows) if one["item"] in dataset.vocabulary]
        assert dataset.vocabulary.encode([rows[at]["item"] for at in known]) == items
        prefix = rows[: known[-1]]  # what comes before the last known click
        fields = ([one[key] for one in prefix] for key in ("item", "event", "time"))
        row += len(items) - 1
        yield row - 1, Clicks(*fields)


def test_a_live_session_has_the_graph_of_its_sample(dataset: ClickLog) -> None:
    """Training and serving see the same types and pauses, rare clicks left out."""
    scorer = trained(dataset).scorer
    found = 0
    for row, clicks in raw_sessions(dataset):
        types = {name: number for number, name in enumerate(TYPES)}
        indices = dataset.vocabulary.encode(clicks.items)
        known = known_clicks(clicks, indices, types, dataset.vocabulary)
        graph = scorer._graphs([known]).get_example(0)
        sample = dataset[row]
        for key in ("x", "edge_index", "event", "gap", "edge_attr"):
            assert torch.equal(graph[key], sample[key]), key
        found += -1 in indices
    assert found > 3


@pytest.mark.parametrize("typed", [True, False])
def test_repeats_count_once_as_in_the_log_of_the_training(tmp_path: Path, typed: bool) -> None:
    rules: dict[str, Any] = {"min_support": 1, "collapse": True, "cold": "keep"}
    if typed:
        rules |= {"event": "event", "events": EVENTS}
    rows = log(sessions=60)
    for row in rows:  # of three items, so that repeats are common
        row["item"] %= 3
    part = ClickLog(tmp_path, "trainval", path=write(rows, tmp_path / "log.csv"), **rules)
    types = {name: number for number, name in enumerate(TYPES)} if typed else {}
    by_session: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        by_session.setdefault(row["session"], []).append(row)
    found, repeats = [], 0
    for clicks in by_session.values():
        session = Clicks(*([row[key] for row in clicks] for key in ("item", "event")))
        indices = part.vocabulary.encode(session.items)
        known = known_clicks(session, indices, types, part.vocabulary, collapse=True)
        assert isinstance(known, MarkedSession)
        found.append(list(known))
        repeats += len(clicks) - len(known)
    assert repeats > 10
    assert all(items in found for items in part.sessions.to_lists())


def test_a_model_collapses_if_its_training_did(dataset: ClickLog) -> None:
    checkpoint = trained(dataset)
    ids, kept = list(dataset.vocabulary.ids[:3]), Recommender.of(checkpoint)
    checkpoint.preparation["collapse"] = True  # type: ignore[index]
    collapsed = Recommender.of(checkpoint)
    once, twice = [ids[0], ids[1], ids[0]], [ids[0], ids[0], ids[1], ids[1], ids[0]]
    assert collapsed.recommend([twice]) == collapsed.recommend([once]) == kept.recommend([once])
    assert kept.recommend([twice]) != kept.recommend([once])
    assert collapsed.explain(twice).clicks == kept.explain(once).clicks


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_an_export_is_equal_to_the_run(dataset: ClickLog, tmp_path: Path, kind: str) -> None:
    checkpoint = trained(dataset, scale=12.0, transitions=5, repeat=True, positions=3)
    run = Recommender.of(checkpoint)
    exported = Recommender.load(export(checkpoint, tmp_path / "export", kind))
    assert exported.types == run.types == {name: n for n, name in enumerate(TYPES)}
    typed = [clicks for _, clicks in raw_sessions(dataset)]
    plain = [clicks.items for clicks in typed]
    answers = [run.recommend(sessions, 50) for sessions in (typed, plain)]
    for sessions, wanted in zip((typed, plain), answers, strict=True):
        for one, other in zip(exported.recommend(sessions, 50), wanted, strict=True):
            assert dict(one) == pytest.approx(dict(other), abs=1e-5)
    assert answers[0] != answers[1]


def test_a_click_without_a_type_or_time(dataset: ClickLog) -> None:
    recommender = Recommender.of(trained(dataset))
    items = dataset.vocabulary.ids[:3]
    (first,) = recommender.recommend([Clicks(items, types=["view"] * 3)])
    assert recommender.recommend([items]) == [first]
    assert recommender.recommend([Clicks(items, [None, "view", None], [None] * 3)]) == [first]
    assert recommender.recommend([Clicks(items, ["cart"] * 3)]) != [first]
    assert recommender.recommend([Clicks(items, times=[0, 50, 9_000])]) != [first]
    with pytest.raises(ValueError, match="of the type 'like'; expected view, cart, purchase"):
        recommender.recommend([Clicks(items, ["view", "like", "view"])])


def test_a_model_without_types_ignores_them(dataset: ClickLog) -> None:
    recommender = Recommender.of(trained(dataset, events=False, gaps=False))
    items = dataset.vocabulary.ids[:3]
    marked = Clicks(items, types=["purchase"] * 3, times=[0, 1, 2])
    assert recommender.recommend([marked]) == recommender.recommend([items])
    assert isinstance(recommender.scorer, ModelScorer)


def test_an_explanation_leaves_out_a_click_with_its_marks(dataset: ClickLog) -> None:
    recommender = Recommender.of(trained(dataset))
    items = [*dataset.vocabulary.ids[:2], dataset.vocabulary.ids[0]]
    clicks = Clicks(items, ["view", "cart", "purchase"], [0, 10, 35])
    found = recommender.explain(clicks)
    without = (
        Clicks(items[1:], ["cart", "purchase"], [10, 35]),
        Clicks([items[0], items[2]], ["view", "purchase"], [0, 35]),
    )
    for place, rest in enumerate(without):
        scores = dict(recommender.recommend([rest], len(dataset.vocabulary))[0])
        assert found.added[place] == pytest.approx(found.score - scores[found.item], abs=1e-5)


def test_a_session_without_one_click() -> None:
    whole = MarkedSession([4, 5, 6], [0, 1, 2], [-1, 7, 20])
    for place, (items, events, pauses) in enumerate(
        [([5, 6], [1, 2], [-1, 20]), ([4, 6], [0, 2], [-1, 27]), ([4, 5], [0, 1], [-1, 7])]
    ):
        rest = whole.without(place)
        assert (rest, rest.events, rest.pauses) == (items, events, pauses)


def test_marks_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="'types' must have one for each of the 2 clicks"):
        Clicks([1, 2], types=["view"])
    with pytest.raises(ValueError, match="'times' must have one for each of the 2 clicks"):
        Clicks([1, 2], times=[1, 2, 3])
