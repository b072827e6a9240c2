"""What is known of items, by their ids."""

from __future__ import annotations

import numpy as np
import pytest

from pyg_srgnn.text.item_texts import ItemTexts

ONE = np.ones((1, 2), dtype=np.float32)


def test_an_id_that_stands_twice_is_one_item():
    found = ItemTexts(["a", "b", "a", "b"], "f", ["hat", None, "hat", "shoe"])
    assert dict(zip(found.ids, found.texts, strict=True)) == {"a": "hat", "b": "shoe"}
    found = ItemTexts(["a", "b", "a"], "f", vectors=np.array([[1, 0], [0, 1], [1, 0]]))
    assert found.ids == ["a", "b"] and found.vectors.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"texts": ["hat", "shoe"]}, "f: the id 'a' has two texts, 'hat' and 'shoe'"),
        ({"vectors": np.eye(2)}, "f: the id 'a' has two vectors, in rows 1 and 2"),
    ],
)
def test_an_id_with_two_texts(given, told):
    with pytest.raises(ValueError, match=told):
        ItemTexts(["a", "a"], "f", **given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "'vectors' must be given exactly if texts are not"),
        ({"texts": ["hat"], "vectors": ONE}, "'vectors' must be given exactly if texts are not"),
        ({"texts": ["hat", "shoe"]}, r"'ids' must be 2 ids \(got 1\)"),
        ({"vectors": ONE[:0]}, r"'ids' must be 0 ids \(got 1\)"),
    ],
)
def test_what_does_not_belong_together(given, told):
    with pytest.raises(ValueError, match=f"ItemTexts: {told}"):
        ItemTexts(["a"], "f", **given)


def test_the_hash_is_of_all_that_is_known():
    hashes = {
        ItemTexts(["a"], "f", ["hat"]).content,
        ItemTexts(["b"], "f", ["hat"]).content,
        ItemTexts(["a"], "f", ["shoe"]).content,
        ItemTexts(["a"], "f", [None]).content,
        ItemTexts(["a"], "f", vectors=ONE).content,
        ItemTexts(["a"], "f", vectors=2 * ONE).content,
    }
    assert len(hashes) == 6
    assert ItemTexts(["a"], "elsewhere", vectors=ONE).content in hashes
