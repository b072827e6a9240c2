"""Finding items: against a plain search through the list."""

from __future__ import annotations

import random

import pytest
import torch

from pyg_srgnn.data import Vocabulary
from pyg_srgnn.serving import item_search as items
from pyg_srgnn.serving.item_search import ItemSearch

NAMES = {17: "Red shoe", 4: "Shoe-lace  red", 170: "Straße", 256: "Überschuh", 9: "Cap"}
CLICKS = torch.tensor([3, 9, 1, 5, 7]).double()


@pytest.fixture
def search():
    return ItemSearch(Vocabulary(list(NAMES)), CLICKS, NAMES)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [4, 9, 256, 17, 170]),  # the most popular first
        ("shoe", [4, 17]),  # begins with it, then a word of it
        ("SHOE-LACE red", [4]),
        ("red", [17, 4]),
        ("hoe", [4, 17]),
        ("17", [17, 170]),  # the item itself, then what begins with it
        ("70", [170]),
        ("strasse", [170]),
        ("ÜBER", [256]),
        ("  cap ", [9]),
        ("nothing", []),
        ("9\t", [9]),
        ("\ud800", []),
        ("-", [4]),
        ("9" * 60, []),
    ],
)
def test_order(search, query, found):
    assert search(query, 10) == found
    assert search(query, 1) == found[:1]


def test_ids_of_text_without_names():
    search = ItemSearch(Vocabulary(["red shoe", "blue shoe", "17", "<b>"]), torch.ones(4))
    assert search("shoe", 10) == ["red shoe", "blue shoe"]
    assert search("17", 10) == ["17"]
    assert search("<", 10) == ["<b>"]


def test_items_that_follow_later():
    """As if they had been there from the start, without a click."""
    ids = list(NAMES)
    for known in (1, 3, 5):
        clicks = torch.cat([CLICKS[:known], torch.zeros(5 - known)])
        whole = ItemSearch(Vocabulary(ids), clicks, NAMES)
        search = ItemSearch(Vocabulary(ids[:known]), clicks[:known], NAMES)
        for later in range(known + 1, 6):
            search = search.with_items(Vocabulary(ids[:later]), NAMES)
        for query in ("", "shoe", "red", "17", "e", "9"):
            assert search(query, 10) == whole(query, 10)


def test_a_catalogue_of_several_pieces(monkeypatch):
    """The text is gone through piece by piece: no match on a border is lost."""
    draw = random.Random(0)
    names = {i: "".join(draw.choices("ab ", k=draw.randint(1, 12))) for i in range(300)}
    popularity = torch.tensor([draw.randrange(50) for _ in names]).double()
    order = sorted(names, key=lambda i: (-popularity[i], i))
    wanted = {}
    for query in ("ab", "aab", "bb a", "12", "b"):
        lines = [f"{i}\t{' '.join(names[i].split())}" for i in order]
        ranks = [
            0
            if line.startswith(query) or f"\t{query}" in line
            else (1 if f" {query}" in line else 2)
            for line in lines
        ]
        holding = [n for n, line in enumerate(lines) if query in line]
        best = [order[n] for n in sorted(holding, key=lambda n: ranks[n])]
        exact = [int(query)] if query.isdecimal() else []
        wanted[query] = list(dict.fromkeys([*exact, *best]))[:20]
    for size in (1, 7, 64, 1 << 20):
        monkeypatch.setattr(items, "_CHUNK", size)
        search = ItemSearch(Vocabulary(list(names)), popularity, names)
        assert {query: search(query, 20) for query in wanted} == wanted


def test_as_many_matches_as_one_looks_at(monkeypatch):
    monkeypatch.setattr(items, "_LOOKED_AT", 5)
    names = {i: "a shoe" for i in range(50)} | {50: "shoe"}
    search = ItemSearch(Vocabulary(list(names)), torch.arange(51, 0, -1).double(), names)
    assert search("shoe", 3) == [0, 1, 2]  # the one that begins with it is not among the first five
    assert search("50", 3) == [50]
