"""The vectors of a catalogue: which item gets which, and what describes them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from pyg_srgnn.data import Vocabulary
from pyg_srgnn.text.encode import encode_items
from pyg_srgnn.text.item_texts import ItemTexts
from tests.text.fake import Fake, fake_vectors

WORDS = Vocabulary(["c", "a", "007", "7", "b"])
NUMBERS = Vocabulary([7, 30, -2])


def texts(pairs: dict[int | str, str | None]) -> ItemTexts:
    return ItemTexts(list(pairs), "items.csv", list(pairs.values()), columns=["title", "brand"])


def test_items_get_the_vectors_of_their_texts(caplog):
    caplog.set_level(logging.INFO, "pyg_srgnn")
    encoder = Fake(width=3)
    given = texts({"a": "hat", "x": "unknown", "b": None, "c": "shoe", "7": "hat", "007": "-"})
    found = encode_items(given, WORDS, encoder, None)
    np.testing.assert_array_equal(found.vectors[[0, 1, 3]], fake_vectors(["shoe", "hat", "hat"]))
    assert found.vectors.dtype == torch.float32 and not found.vectors[[2, 4]].any()
    # What has no vector, as "-", is as good as absent.
    assert found.present.tolist() == [True, True, False, True, False]
    assert encoder.asked == ["hat", "shoe", "-"]  # each once, and none of an unknown item
    assert found.facts == {
        "source": "items.csv",
        "columns": ["title", "brand"],
        "content": given.content,
        "encoder": {"name": "fake", "version": "1", "width": 3},
        "dimensions": 3,
        "items": 3,
    }
    assert str(found) == "3 of 5 items, columns title, brand; encoder fake 1, 3 dimensions"
    assert caplog.messages == ["items.csv: 1 are of items that are not in the catalogue"]


@pytest.mark.parametrize(
    ("ids", "vocabulary", "expected"),
    [
        ([7, 30], NUMBERS, [True, True, False]),
        (["007", "-2"], NUMBERS, [True, False, True]),
        (["7", "shoe", "9" * 2000], NUMBERS, [True, False, False]),
        ([7], WORDS, [False, False, False, True, False]),
        (["007"], WORDS, [False, False, True, False, False]),
    ],
)
def test_ids_are_read_as_those_of_the_catalogue(ids, vocabulary, expected):
    given = ItemTexts(ids, "items.csv", ["text"] * len(ids))
    assert encode_items(given, vocabulary, Fake(), None).present.tolist() == expected


def test_ready_made_vectors_need_no_encoder():
    made = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
    given = ItemTexts(["a", "x", "c"], "v.npy", vectors=made)
    found = encode_items(given, WORDS, None, None)
    assert found.vectors.tolist() == [[5, 6], [1, 2], [0, 0], [0, 0], [0, 0]]
    assert found.facts["encoder"] is None and found.facts["items"] == 2
    assert str(found) == "2 of 5 items; ready-made vectors, 2 dimensions"


def test_the_cache_is_used(tmp_path):
    encode_items(texts({"a": "hat"}), WORDS, Fake(), tmp_path)
    encoder = Fake()
    encode_items(texts({"a": "hat", "b": "shoe"}), WORDS, encoder, tmp_path)
    assert encoder.asked == ["shoe"]


@pytest.mark.parametrize(
    ("given", "encoder", "told"),
    [
        (
            texts({"x": "hat", 5: "shoe"}),
            Fake(),
            r"items\.csv: none of its ids is in the catalogue \(found: 'x', '5'; expected such as: "
            r"'c', 'a', '007'\)",
        ),
        (texts({}), Fake(), r"in the catalogue \(found: none"),
        (
            texts({"a": None, "x": "hat"}),
            Fake(),
            r"items\.csv: no item of the catalogue has a",
        ),
        (texts({"a": "hat"}), None, r"items\.csv: holds texts, which need an encoder"),
    ],
)
def test_what_cannot_be_encoded(given, encoder, told):
    with pytest.raises(ValueError, match=told):
        encode_items(given, WORDS, encoder, None)


def test_ids_that_are_one_in_the_catalogue():
    two = ItemTexts(["7", "07"], "items.csv", ["hat", "hat"])
    assert encode_items(two, NUMBERS, Fake(), None).facts["items"] == 1
    two = ItemTexts(["7", "07"], "items.csv", ["hat", "shoe"])
    with pytest.raises(ValueError, match=r"items\.csv: the id 7 has two texts, 'hat' and 'shoe'"):
        encode_items(two, NUMBERS, Fake(), None)
