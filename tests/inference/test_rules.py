"""Rules: the same items as by loops over all of them, of trained and exported models."""

from __future__ import annotations

import json
import logging
import random
import re
import threading
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.export.write import export
from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.functional.wanted import Wanted
from pyg_srgnn.inference.answering import Asked
from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.rule_book import RuleBook
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.inference.search import OffsetSearch, VectorSearch
from pyg_srgnn.inference.selection import Cap, select, shared_labels
from tests.export.exports import IDS, checkpoint
from tests.reference.names import random_sessions
from tests.reference.rules import recommended

DRAWN = random.Random(5)
ITEMS: dict[str, dict[str, Any]] = {
    raw: {
        "category": DRAWN.choice(["shoes", "hats", "bags", None]),
        "price": DRAWN.choice([None, *range(5, 200, 7)]),
        "in_stock": DRAWN.random() < 0.8,
        "tags": DRAWN.sample(["sale", "new", "red"], DRAWN.randrange(3)),
        "shelf": DRAWN.randrange(4),
    }
    for raw in IDS[:-3]  # of three items nothing is known
}
COLUMNS = {
    name: [item[name] for item in ITEMS.values()]
    for name in ("category", "price", "in_stock", "tags", "shelf")
}
KNOWN = [ITEMS.get(raw, {}) for raw in IDS]
SESSIONS = [[IDS[i] for i in s] for s in random_sessions(8, len(IDS), seed=6, longest=7)]

RULES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "equal": {"where": {"category": "shoes"}},
    "one of": {"where": {"category": ["shoes", "bags", "no such"], "in_stock": True}},
    "numbers": {"where": {"price": {"min": 20, "max": 100}, "shelf": [0, 2]}},
    "least": {"where": {"price": {"min": 150}}},
    "list": {"where": {"tags": ["sale", "new"]}},
    "not": {"where": {"tags": {"not": "sale"}, "category": {"not": ["hats"]}}},
    "ids": {"allow": IDS[:30], "deny": [IDS[3], IDS[4], "who?"], "exclude_seen": True},
    "boost": {"boost": {"tags": {"sale": 3, "new": 0.2}, "shelf": {1: 2.5}}},
    "all": {
        **{"where": {"in_stock": True}, "deny": IDS[:5], "exclude_seen": True},
        **{"boost": {"category": {"bags": 4}, "in_stock": {True: 2}}, "allow": IDS[2:]},
    },
    "diverse": {"diversify": 0.3},
    "more diverse": {"diversify": 0.8, "where": {"in_stock": True}, "exclude_seen": True},
    "by category": {"diversify": 0.4, "diversify_by": "category"},
    "by tags": {"diversify": 0.5, "diversify_by": "tags", "boost": {"tags": {"red": 2}}},
    "cap": {"max_per": {"category": 2}},
    "caps": {"max_per": {"tags": 1, "shelf": 2}, "deny": IDS[-3:]},
    "both": {"max_per": {"category": 1}, "diversify": 0.3, "where": {"price": {"max": 150}}},
}


@pytest.fixture(
    scope="module", params=["default", "gru4rec", "mixture", "exported", "plain export"]
)
def recommender(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Recommender:
    name = {"exported": "default", "plain export": "plain"}.get(request.param, request.param)
    if "export" in request.param:
        folder = export(checkpoint(name), tmp_path_factory.mktemp("model") / "export")
        found = Recommender.load(folder)
    else:
        found = Recommender.of(checkpoint(name))
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS))
    return found


@cache
def scores_of(recommender: Recommender, session: tuple[Any, ...]) -> list[float]:
    index = recommender.vocabulary.encode(session)
    return recommender.scorer.scores([index])[0].tolist()


@cache
def vectors_of(recommender: Recommender) -> list[list[float]]:
    return recommender.scorer.directions(torch.arange(len(IDS))).double().tolist()


def expected(recommender: Recommender, session: list[Any], k: int, **rules: Any) -> list[Any]:
    scores, vectors = scores_of(recommender, tuple(session)), vectors_of(recommender)
    ids = recommended(IDS, scores, KNOWN, vectors, session, k, **rules)
    return [(raw, pytest.approx(scores[IDS.index(raw)], abs=1e-5)) for raw in ids]


def apart(recommender: Recommender, session: list[Any]) -> bool:
    """Whether no two scores are so near that rounding decides which is greater."""
    scores = sorted(scores_of(recommender, tuple(session)))
    return all(after - before > 1e-5 for before, after in pairwise(scores))


@pytest.mark.parametrize("name", RULES)
def test_the_items_of_loops(recommender: Recommender, name: str) -> None:
    rules, sessions = RULES[name], [each for each in SESSIONS if apart(recommender, each)]
    assert len(sessions) >= 4
    for k in (1, 30):
        found = recommender.recommend(sessions, k, **rules)
        for session, best in zip(sessions, found, strict=True):
            assert best == expected(recommender, session, k, **rules)
    (alone,) = recommender.recommend(sessions[-1:], 30, **rules)
    assert [raw for raw, _ in alone] == [raw for raw, _ in found[-1]]


def test_rules_do_something() -> None:
    found = Recommender.of(checkpoint())
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS))
    plain = found.recommend(SESSIONS, 8)
    assert [
        name for name, one in RULES.items() if found.recommend(SESSIONS, 8, **one) == plain
    ] == ["nothing"]
    diverse = found.recommend(SESSIONS, 8, diversify=0.3)
    scores = [[score for _, score in best] for best in diverse]
    assert any(each != sorted(each, reverse=True) for each in scores)


def test_a_session_without_a_known_item(recommender: Recommender) -> None:
    clicks = recommender._catalogue.clicks.tolist()
    shares = [math_log(count) for count in clicks]
    vectors = vectors_of(recommender)
    for rules in RULES.values():
        with pytest.warns(UserWarning):
            (best,) = recommender.recommend([["who?"]], 6, **rules)
        wanted = recommended(IDS, shares, KNOWN, vectors, [], 6, **rules)
        assert [raw for raw, _ in best] == wanted
        total = sum(clicks)
        assert [share for _, share in best] == [
            pytest.approx(clicks[IDS.index(raw)] / total) for raw in wanted
        ]


def test_sessions_without_a_known_item_share_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """To sort a catalogue of millions takes a tenth of a second."""
    found = Recommender.of(checkpoint())
    catalogue, asked = found._catalogue, []
    make = catalogue._most_clicked
    monkeypatch.setattr(catalogue, "_most_clicked", lambda *of: asked.append(of[0]) or make(*of))
    for k in (3, 3, 4):
        for rules in ((), (Rules(deny=IDS[:2]),)):
            for answer in found.answer([["who?"], [], IDS[:1]], k, rules)[:2]:
                answer.items.append(("of the caller", 1.0))
    assert asked == [3, 3, 4, 4]
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS))
    assert found._catalogue._popular is not catalogue._popular  # which would hold the old rules
    assert len(found.answer([[]], 3)[0].items) == 3


def math_log(count: int) -> float:
    return float(torch.tensor(max(count, 0.5), dtype=torch.float64).log())


def test_requests_with_different_rules_are_answered_together(recommender: Recommender) -> None:
    """Each as if it were alone: its own rules, its own k, also for sessions without known items."""
    sessions = [each for each in SESSIONS if apart(recommender, each)]
    asked = [
        Asked(
            [sessions[number % len(sessions)], *([["who?"]] if number % 3 == 0 else [])], k, [one]
        )
        for number, one in enumerate(Rules(**rules) for rules in RULES.values())
        for k in (3, 12)
    ]
    for one, answers in zip(asked, recommender.answer_together(asked), strict=True):
        alone = recommender.answer(one.sessions, one.k, one.rules)
        assert len(answers) == len(alone)
        for answer, wanted in zip(answers, alone, strict=True):
            assert answer.items == [(raw, pytest.approx(s, abs=1e-5)) for raw, s in wanted.items]
            assert replace(answer, items=[]) == replace(wanted, items=[])


def test_searches_for_about_as_many_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    vectors, sessions = (torch.randn(n, 16, generator=generator) for n in (50_000, 7))
    catalogue = Catalogue(vectors, "int8")
    if catalogue.precision != "int8":
        pytest.skip("products of bytes are cut off on this processor")
    asked, search = [], catalogue.best
    monkeypatch.setattr(catalogue, "best", lambda s, k: asked.append((len(s), k)) or search(s, k))
    barred, few = torch.zeros(50_000), torch.full((50_000,), -torch.inf)
    barred[::10] = -torch.inf
    few[:9], stock = 0, Offsets(barred)
    wanted = [
        *(Wanted([0, 4], 20), Wanted([1], 20, stock), Wanted([2], 500, exclude_seen=True)),
        *(Wanted([3], 12, Offsets(few)), Wanted([5, 6], 16, stock, exclude_seen=True)),
    ]
    own = [[1, 2]] * 7
    found = VectorSearch(catalogue, None).best(sessions, own, wanted)
    assert sorted(asked) == [(1, 502), (5, 64)]
    for each, (values, items) in zip(wanted, found, strict=True):
        scores = sessions[each.rows] @ vectors.T
        scores += 0 if each.offsets is None else each.offsets.values
        if each.exclude_seen:
            scores[:, own[0]] = -torch.inf
        best = scores.topk(each.k)
        there = best.values != -torch.inf
        assert torch.equal(items[there], best.indices[there])
        assert torch.allclose(values, best.values, atol=1e-4)


def test_rules_hold_together() -> None:
    found = Recommender.of(checkpoint())
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS))
    one = Rules(where={"in_stock": True}, max_per={"category": 3}, boost={"shelf": {1: 2}})
    other = Rules(where={"in_stock": True, "price": {"max": 90}}, max_per={"category": 2})
    third = Rules(deny=IDS[:9], exclude_seen=True, boost={"shelf": {1: 2}})
    together = {
        **{"where": {"in_stock": True, "price": {"max": 90}}, "deny": IDS[:9]},
        **{"max_per": {"category": 2}, "boost": {"shelf": {1: 4}}, "exclude_seen": True},
    }
    answers = found.answer(SESSIONS, 5, [one, other, third])
    for session, answer in zip(SESSIONS, answers, strict=True):
        assert answer.items == expected(found, session, 5, **together)
    weights = [Rules(diversify=0.2, diversify_by="category"), Rules(diversify=0.5), Rules()]
    assert found.answer(SESSIONS, 5, weights) == found.answer(SESSIONS, 5, weights[1:2])


def test_an_item_with_very_many_labels_takes_no_room_in_the_others() -> None:
    ids = list(range(5_000))
    tags = [[f"tag {i}" for i in range(9_000)], *([f"tag {raw % 7}"] for raw in ids[1:-1])]
    book = RuleBook(Vocabulary(ids), ItemAttributes(ids[:-1], {"tags": tags}))
    applied = book.apply([Rules(max_per={"tags": 1}, diversify=0.5, diversify_by="tags")])
    assert applied.by is not None and applied.by.codes.nbytes < 200_000
    found = applied.by.of(np.array([3, 4_999, 0, 10]))
    assert found.rows.tolist() == [0, *([2] * 9_000), 3]
    assert found.of(0).tolist() == found.of(3).tolist() and len(found.of(1)) == 0
    scores = np.linspace(1, 0, 4)
    ((labels, most),) = applied.caps
    cap = Cap(labels.of(np.array([3, 4_999, 0, 10])), most)
    assert select(scores, 4, 0.5, shared_labels(found), [cap]) == [0, 1]
    assert select(scores, 4, 0.5, shared_labels(found), []) == [0, 1, 2, 3]


def test_a_list_that_is_empty_says_why() -> None:
    found = Recommender.of(checkpoint())
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS))
    where = Rules(where={"category": "boots"})
    (answer,) = found.answer(SESSIONS[:1], 5, [where])
    assert answer.items == []
    assert answer.reason == "no item of the catalogue meets Rules(where={'category': 'boots'})"
    seen = Rules(allow=SESSIONS[0], exclude_seen=True)
    (answer,) = found.answer(SESSIONS[:1], 5, [seen])
    assert answer.items == [] and str(answer.reason).startswith("no item is left by Rules(allow=[")
    (answer,) = found.answer(SESSIONS[:1], 5, [Rules(allow=[f"no {i}" for i in range(999)])])
    assert len(str(answer.reason)) < 400
    (answer,) = found.answer(SESSIONS[:1], 5, [Rules(where={"category": "hats"})])
    assert answer.items and answer.reason is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"where": {"colour": "red"}}, "where.colour: items.csv: there is no column 'colour'; the"),
        ({"boost": {"colour": {"red": 2}}}, "boost.colour: items.csv: there is no column 'colour'"),
        ({"max_per": {"colour": 2}}, "max_per.colour: items.csv: there is no column 'colour'"),
        (
            {"diversify": 0.2, "diversify_by": "colour"},
            "diversify_by='colour': items.csv: there",
        ),
        ({"where": {"category": {"max": 3}}}, "where.category: only numbers have min and max (got"),
        ({"where": {"price": "3"}}, "where.price: the column holds numbers (got '3')"),
        ({"where": {"price": True}}, "where.price: the column holds numbers (got True)"),
        (
            {"where": {"in_stock": "yes"}},
            "where.in_stock: the column holds truth values (got '",
        ),
        ({"where": {"tags": [3]}}, "where.tags: the column holds lists of texts (got 3)"),
        ({"boost": {"in_stock": {"yes": 2}}}, "boost.in_stock.yes: the column holds truth values"),
        (
            {"boost": {"price": {"dear": 2}}},
            "boost.price.dear: the column holds numbers (got '",
        ),
        (
            {"boost": {"category": {"hats": -1}}},
            "'boost.category.hats' must be a number > 0 (",
        ),
        (
            {"boost": {"category": {"hats": 0}}},
            "'boost.category.hats' must be a number > 0 (",
        ),
        ({"boost": {"category": 3}}, "'boost.category' must be factors of values, such as"),
        ({"diversify": -0.1}, "'diversify' must be a number >= 0 and < 1 (got -0.1)"),
        ({"diversify": 1}, "'diversify' must be a number >= 0 and < 1 (got 1)"),
        ({"max_per": {"category": 0}}, "'max_per.category' must be a whole number >= 1 (got 0)"),
        ({"max_per": ["category"]}, "'max_per' must be a mapping with the names of columns"),
        ({"where": {"price": {"least": 3}}}, "'where.price' must be a value, a list of values, {"),
        ({"where": {"price": {"max": "3"}}}, "'where.price' must be a value"),
        ({"where": {"price": {}}}, "'where.price' must be a value"),
        ({"where": {"price": {"not": {"not": 3}}}}, "'where.price' must be a value"),
        ({"where": {"price": None}}, "'where.price' must be a value"),
        ({"where": "in_stock"}, "'where' must be a mapping with the names of columns"),
    ],
)
def test_wrong_rules(rules: dict[str, Any], message: str) -> None:
    found = Recommender.of(checkpoint())
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS, "items.csv"))
    with pytest.raises(ValueError, match=re.escape(message)):
        found.recommend(SESSIONS, 5, **rules)


def test_without_attributes() -> None:
    found = Recommender.of(checkpoint())
    assert found.attributes is None
    expected = "where.category: there are no attributes of the items"
    with pytest.raises(ValueError, match=expected):
        found.recommend(SESSIONS, 5, where={"category": "hats"})
    assert found.recommend(SESSIONS, 5, diversify=0.3, deny=IDS[:3])


def test_keys_of_json_are_texts() -> None:
    found = Recommender.of(checkpoint())
    found.set_attributes(ItemAttributes(ITEMS, COLUMNS))
    boost: dict[str, dict[Any, float]] = {"shelf": {1: 2.5}, "in_stock": {True: 3}}
    assert found.recommend(SESSIONS, 9, boost=json.loads(json.dumps(boost))) == found.recommend(
        SESSIONS, 9, boost=boost
    )


def test_attributes_are_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "pyg_srgnn")
    found = Recommender.of(checkpoint())
    path = tmp_path / "items.csv"
    path.write_text("id,in_stock\n" + "".join(f"{raw},true\n" for raw in [*IDS[:30], "x", "y"]))
    found.set_attributes(path)
    assert caplog.messages == [
        f"{path}: 2 of 32 ids are not in the catalogue: 'x', 'y'",
        f"{path}: 10 of 40 items of the catalogue have no attributes",
    ]
    where = {"in_stock": True}
    (before,) = found.recommend(SESSIONS[:1], 40, where=where)
    assert len(before) == 30
    gone = before[0][0]
    found.update_attributes([gone, "z"], {"in_stock": [False, True]})
    (after,) = found.recommend(SESSIONS[:1], 40, where=where)
    assert after == before[1:]
    found.update_attributes([IDS[35]], {"in_stock": [True], "category": ["hats"]})
    (after,) = found.recommend(SESSIONS[:1], 40, where={**where, "category": "hats"})
    assert [raw for raw, _ in after] == [IDS[35]]
    with pytest.raises(ValueError, match="the column 'in_stock' holds truth values"):
        found.update_attributes([IDS[0]], {"in_stock": ["no"]})
    with pytest.raises(ValueError, match=r"none of its ids is in the catalogue \(found: 'x'"):
        found.set_attributes(ItemAttributes(["x"], {}, "items"))
    assert found.recommend(SESSIONS[:1], 40, where={"category": "hats"}) == [after]


def test_attributes_are_replaced_while_others_ask() -> None:
    found = Recommender.of(checkpoint())
    half = len(IDS) // 2
    columns = [[raw in part for raw in IDS] for part in (IDS[:half], IDS[half:])]
    found.set_attributes(ItemAttributes(IDS, {"shown": columns[0]}))
    over, seen = threading.Event(), set()

    def ask() -> None:
        while not over.is_set():
            (best,) = found.recommend(SESSIONS[:1], 40, where={"shown": True})
            seen.add(frozenset(raw for raw, _ in best))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(30):
        found.update_attributes(IDS, {"shown": columns[number % 2]})
    over.set()
    for thread in threads:
        thread.join()
    assert seen <= {frozenset(IDS[:half]), frozenset(IDS[half:])}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("left", [0, 10, 15_000, 24_000, 49_990])
def test_exact_at_any_selectivity(precision: str, left: int) -> None:
    generator = torch.Generator().manual_seed(left)
    vectors = torch.randn(50_000, 16, generator=generator)
    sessions = torch.randn(6, 16, generator=generator)
    # Those that are left are the worst for the first session, as no sample would be.
    order = (sessions[0] @ vectors.T).argsort()
    values = torch.full((50_000,), -torch.inf)
    values[order[:left]] = torch.rand(left, generator=generator)
    values[order[:left:2]] = 0
    search = OffsetSearch(Catalogue(vectors, precision), Offsets(values))
    found, items = search.best(sessions, 20)
    wanted = (sessions @ vectors.T + values).topk(20)
    there = wanted.values != -torch.inf
    assert torch.equal(there, found != -torch.inf)
    assert torch.equal(items[there], wanted.indices[there])
    assert torch.allclose(found[there], wanted.values[there], atol=1e-4)


def test_an_index_gives_what_is_left() -> None:
    pytest.importorskip("faiss", reason="faiss is not installed: pip install '.[index]'")
    from pyg_srgnn.inference.index import Index
    from tests.inference.test_index import _shop

    vectors, sessions = _shop(30_000)
    index, _ = Index.build(vectors, sessions)
    products = sessions @ vectors.T
    worst = products[0].argsort()
    for left in (3, 10, 1_000, 25_000):
        values = torch.full((30_000,), -torch.inf)
        values[worst[:left]] = 0
        found, items = OffsetSearch(index, Offsets(values)).best(sessions, 10)
        wanted = (products + values).topk(10)
        there = wanted.values != -torch.inf
        assert torch.equal(found != -torch.inf, there)
        assert values[items[there]].eq(0).all()
        if left <= 1_000:
            assert torch.equal(items[there], wanted.indices[there])
        else:
            exact = wanted.indices.tolist()
            hits = [len(set(a) & set(b)) for a, b in zip(items.tolist(), exact, strict=True)]
            assert sum(hits) >= 0.95 * 10 * len(hits)
