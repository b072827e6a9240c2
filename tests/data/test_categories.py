"""Categories of a catalogue's items, of columns of their attributes."""

from __future__ import annotations

import pytest
import torch

from pyg_srgnn.data import Vocabulary
from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.categories import Categories

VOCABULARY = Vocabulary(["a", "b", "c", "d"])
ATTRIBUTES = ItemAttributes(
    ["x", "d", "b", "a"],
    {
        "category": ["coats", "shoes", "hats", None],
        "size": [1, 44, 44, 39.5],
        "sale": [True, False, True, None],
        "tags": [["new"], ["red", "new"], [], None],
        "colour": ["red", None, None, None],
    },
    "items.csv",
)


def test_values_of_the_catalogues_items() -> None:
    found = Categories.of(ATTRIBUTES, ["category", "size", "sale", "tags"], VOCABULARY)
    assert found.names == {
        "category": ["hats", "shoes"],
        "size": ["39.5", "44"],
        "sale": ["false", "true"],
        "tags": ["red"],
    }
    assert found.codes.tolist() == [[-1, 0, -1, -1], [0, 1, 1, -1], [-1] * 4, [1, 1, 0, 0]]
    assert str(found) == (
        "3 of 4 items, values of category (2), size (2), sale (2), tags (1); ids that are not in "
        "the catalogue: 1"
    )


def test_values_that_training_lacks_are_none() -> None:
    """No value of an item that only the test sessions hold is learned, nor counted."""
    found = Categories.of(ATTRIBUTES, ["category", "size"], VOCABULARY)
    trained = found.trained(torch.tensor([2, 3, 1, 0]))
    assert trained.values == {"category": ["hats"], "size": ["39.5", "44"]}
    assert trained.sizes == [1, 2]
    assert trained.codes.tolist() == [[-1, 0], [0, 1], [-1, -1], [-1, 1]]
    facts = found.facts(trained)
    assert facts["values"] == [["hats"], ["39.5", "44"]] and facts["items"] == 3
    with pytest.raises(ValueError, match=r"items\.csv: no item of the training .* 'category'"):
        found.trained(torch.tensor([2, 0, 1, 0]))


def test_the_content_is_that_of_the_catalogues_items() -> None:
    one = Categories.of(ATTRIBUTES, ["category"], VOCABULARY).content
    other_price = ATTRIBUTES.updated(["b"], {"size": [3]})
    assert Categories.of(other_price, ["category"], VOCABULARY).content == one
    unknown_item = ATTRIBUTES.updated(["new"], {"category": ["gloves"]})
    assert Categories.of(unknown_item, ["category"], VOCABULARY).content == one
    moved = ATTRIBUTES.updated(["b"], {"category": ["shoes"]})
    assert Categories.of(moved, ["category"], VOCABULARY).content != one


@pytest.mark.parametrize(
    ("columns", "ids", "told"),
    [
        (["brand"], "abcd", "there is no column 'brand'; the columns are 'category', 'size'"),
        (["colour"], "abcd", "no item of the catalogue has a value in the column 'colour'"),
        (["category"], "pqrs", "none of its ids is in .*found: 'x', 'd', 'b'; .* as: 'p', 'q'"),
    ],
)
def test_what_does_not_fit_is_refused(columns: list[str], ids: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"items\.csv: {told}"):
        Categories.of(ATTRIBUTES, columns, Vocabulary(list(ids)))
