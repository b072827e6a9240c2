"""Large catalogues: rounded products find what float64 finds, for vectors of many kinds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_srgnn.inference import catalogue
from pyg_srgnn.inference.catalogue import PRECISIONS, Catalogue

_ROUNDED = [precision for precision in PRECISIONS if precision != "float32"]


@pytest.fixture(autouse=True)
def _no_catalogue_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "FEWEST", 0)


def _vectors(kind: str, items: int, generator: torch.Generator) -> Tensor:
    """Item vectors that are hard to tell apart in one way or another, [items, 24]."""
    vectors = torch.randn(items, 24, generator=generator)
    if kind == "lengths":  # some items are ten thousand times as long as others
        return vectors * 10 ** (4 * torch.rand(items, 1, generator=generator) - 2)
    if kind == "outliers":  # one coordinate takes nearly the whole scale of its group
        vectors[::50, 3] = 100.0
    if kind == "cone":  # all nearly in one direction, as tables with a bias towards popularity
        return vectors * 0.02 + torch.randn(24, generator=generator)
    if kind == "alike":  # closer together than rounding can tell
        return vectors * 1e-4 + torch.randn(24, generator=generator)
    if kind == "zeros":
        vectors[torch.rand(items, generator=generator) < 0.5] = 0.0
    return vectors


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["normal", "lengths", "outliers", "cone", "alike", "zeros"])
@pytest.mark.parametrize(
    ("items", "k", "sessions"), [(9_001, 20, 40), (5_000, 1, 3), (300, 300, 2)]
)
def test_the_best_products_are_those_of_float64(
    precision: str, kind: str, items: int, k: int, sessions: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = _vectors(kind, items, generator)
    asked = torch.randn(sessions, 24, generator=generator)
    values, found = Catalogue(vectors, precision).best(asked, k)
    products = asked.double() @ vectors.double().T
    size = asked.norm(dim=1, keepdim=True) * vectors.norm(dim=1).max()
    assert values.dtype == torch.float32
    # Equal up to the rounding of float32: no product that is greater by more was left out, what
    # is returned is the product of the item returned, and no item comes twice.
    assert torch.all((values - products.topk(k).values).abs() <= 1e-5 * size)
    assert torch.all((values - products.gather(1, found)).abs() <= 1e-5 * size)
    assert all(len(set(row)) == k for row in found.tolist())


@pytest.mark.parametrize("precision", _ROUNDED)
def test_the_same_items_as_float32_in_the_same_order(precision: str) -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(20_000, 32, generator=generator)
    asked = torch.randn(50, 32, generator=generator)
    _, expected = Catalogue(vectors).best(asked, 20)
    rounded = Catalogue(vectors, precision)
    assert torch.equal(rounded.best(asked, 20)[1], expected)
    alone = [rounded.best(row.unsqueeze(0), 20)[1] for row in asked]
    assert torch.equal(torch.cat(alone), expected)


@pytest.mark.parametrize("precision", _ROUNDED)
@pytest.mark.parametrize("kind", ["normal", "lengths", "outliers", "cone", "alike", "zeros"])
@pytest.mark.parametrize("items", [1_000, 1_030, 2_048])
def test_no_product_exceeds_the_bound_of_its_group(precision: str, kind: str, items: int) -> None:
    generator = torch.Generator().manual_seed(2)
    vectors = _vectors(kind, items, generator)
    asked = torch.cat([torch.randn(20, 24, generator=generator), torch.zeros(1, 24)])
    bounds = Catalogue(vectors, precision)._bounds(asked).double()
    item = torch.arange(items)
    group = item // catalogue._BLOCK * catalogue._LANES + item % catalogue._LANES
    assert bounds.size(1) == int(group.max()) + 1
    assert torch.all(asked.double() @ vectors.double().T <= bounds[:, group])


@pytest.mark.parametrize("precision", _ROUNDED)
def test_the_bounds_leave_few_groups_where_vectors_differ(precision: str) -> None:
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(30_000, 64, generator=generator)
    asked = torch.randn(20, 64, generator=generator)
    greatest = (asked @ vectors.T).topk(20).values[:, -1:]
    needed = (Catalogue(vectors, precision)._bounds(asked) >= greatest).sum(dim=1)
    assert int(needed.max()) < 4 * 20  # of 3752; more would be multiplied with all items


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["normal", "lengths", "outliers", "cone", "alike", "zeros"])
@pytest.mark.parametrize(("items", "sessions"), [(9_001, 40), (5_120, 3), (300, 2)])
def test_the_sum_is_off_by_its_bound_at_most(
    precision: str, kind: str, items: int, sessions: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = _vectors(kind, items, generator)
    asked = torch.randn(sessions, 24, generator=generator)
    pairs = torch.arange(sessions).repeat(2), torch.arange(2 * sessions) * 7 % items
    made = Catalogue(vectors, precision)
    for barred in (None, pairs):
        values, found, logs = made.best_and_log_sum(asked, 5, barred)
        products = asked.double() @ vectors.double().T
        best = products.topk(5).values
        if barred is None:
            size = asked.norm(dim=1, keepdim=True) * vectors.norm(dim=1).max()
            assert torch.all((values - best).abs() <= 1e-5 * size)
            assert torch.all((values - products.gather(1, found)).abs() <= 1e-5 * size)
        else:
            products[barred] = -torch.inf
        off = (logs - products.logsumexp(dim=1)).abs()
        rounding = 1e-6 * products.amax(dim=1).abs()  # of the result
        assert torch.all(off <= made.log_sum_bound(asked) + rounding)


@pytest.mark.parametrize("precision", _ROUNDED)
def test_the_bound_of_a_sum_is_small_beside_what_tells_items_apart(precision: str) -> None:
    generator = torch.Generator().manual_seed(4)
    vectors = torch.nn.functional.normalize(torch.randn(9_000, 64, generator=generator))
    asked = 12 * torch.nn.functional.normalize(torch.randn(20, 64, generator=generator))
    made = Catalogue(vectors, precision)
    assert float(made.log_sum_bound(asked).max()) < 0.3
    off = made.best_and_log_sum(asked, 1)[2] - (asked @ vectors.T).logsumexp(dim=1)
    assert float(off.abs().max()) < 0.01


@pytest.mark.parametrize("precision", _ROUNDED)
def test_a_barred_item_does_not_count_as_what_fills_up_the_last_block(precision: str) -> None:
    vectors = torch.randn(1_100, 4, generator=torch.Generator().manual_seed(5))
    vectors[1_024] = torch.tensor([120.0, 0.0, 0.0, 0.0])  # the others of its group are copies
    asked = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    barred = torch.tensor([0]), torch.tensor([1_024])
    found = Catalogue(vectors, precision).best_and_log_sum(asked, 1, barred)[2]
    products = asked @ vectors.T
    products[barred] = -torch.inf
    torch.testing.assert_close(found, products.logsumexp(dim=1), rtol=0, atol=0.05)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_sum_does_not_depend_on_how_many_are_wanted(precision: str) -> None:
    generator = torch.Generator().manual_seed(6)
    vectors, asked = (torch.randn(size, 16, generator=generator) for size in (5_000, 3))
    made = Catalogue(vectors, precision)
    few, many = made.best_and_log_sum(asked, 2), made.best_and_log_sum(asked, 500)
    assert torch.equal(few[2], many[2])
    # Two items whose products differ by rounding alone may stand either way round.
    products = asked @ vectors.T
    assert all(len(row.unique()) == 500 for row in many[1])
    torch.testing.assert_close(products.gather(1, many[1]), products.topk(500).values)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vectors_of_one_number(precision: str) -> None:
    vectors = torch.randn(2_000, 1, generator=torch.Generator().manual_seed(7))
    made, asked = Catalogue(vectors, precision), torch.tensor([[1.5], [-2.0]])
    assert made.precision != "int8"  # torch's products of such bytes are wrong
    products = asked.double() @ vectors.double().T
    values, _, logs = made.best_and_log_sum(asked, 3)
    assert torch.allclose(values.double(), products.topk(3).values, atol=1e-5)
    assert torch.allclose(logs.double(), products.logsumexp(dim=1), atol=0.05)


def test_no_sessions_give_no_rows() -> None:
    found = Catalogue(torch.randn(9_000, 4), "int8").best_and_log_sum(torch.empty(0, 4), 5)
    assert [list(each.shape) for each in found] == [[0, 5], [0, 5], [0]]
    values, items = Catalogue(torch.randn(9_000, 4), "int8").best(torch.empty(0, 4), 5)
    assert values.shape == items.shape == (0, 5)


@pytest.mark.parametrize(
    ("vectors", "precision", "message"),
    [
        (torch.ones(3, 2), "int4", "one of float32, bfloat16, float16, int8 .got 'int4'"),
        (torch.ones(3), "int8", r"float32 \[V, d\] with V >= 1 .got float32 \[3\]"),
        (torch.ones(0, 2), "int8", r"got float32 \[0, 2\]"),
        (torch.ones(3, 2).double(), "float32", "got float64"),
        (torch.tensor([[1.0], [float("nan")]]), "int8", "must be finite"),
    ],
)
def test_what_is_wrong_is_said(vectors: Tensor, precision: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Catalogue(vectors, precision)


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be from 1 to 3 .got {k}"):
        Catalogue(torch.ones(3, 2)).best(torch.ones(1, 2), k)
