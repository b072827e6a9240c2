"""Categories of items in the item table, against a plain loop in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.functional.graphs import flat_clicks
from pyg_srgnn.nn import SessionModel, build_model
from pyg_srgnn.nn.item_categories import ItemCategories
from tests.reference.names import random_sessions, randomise

SIZES = [2, 3]
CODES = torch.tensor([[0, 2], [1, -1], [-1, -1], [1, 0], [0, 1], [-1, 2], [1, 1], [-1, -1]])
ITEMS, TRAINED = len(CODES), 6


def made(**settings: Any) -> SessionModel:
    base = {"name": "srgnn", "num_items": ITEMS, "channels": 4, "category_sizes": SIZES}
    model = build_model(base | settings)
    model.set_categories(CODES)
    model.set_training(Sessions.from_lists(random_sessions(20, TRAINED, seed=1, longest=6)))
    return randomise(model.double(), seed=2)


def vectors_by_loop(model: SessionModel, with_ids: bool = True) -> torch.Tensor:
    table = model.embedding.categories
    assert table is not None
    rows = []
    for item, values in enumerate(CODES.tolist()):
        total = model.embedding.weight[item] if with_ids else torch.zeros(4, dtype=torch.float64)
        for value, first in zip(values, [0, SIZES[0]], strict=True):
            if value >= 0:
                total = total + table.weight[first + value]
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize("settings", [{}, {"loss": "sampled"}, {"name": "gru4rec"}])
def test_each_value_is_added_to_the_ids_vector(settings: dict[str, Any]) -> None:
    model = made(**settings)
    wanted = vectors_by_loop(model)
    torch.testing.assert_close(model.embedding.table(), wanted)
    torch.testing.assert_close(model.item_vectors(), wanted)
    items = torch.tensor([7, 0, 3, 0])
    torch.testing.assert_close(model.embed(items), wanted[items])
    torch.testing.assert_close(model.rows(items), wanted[items])


def test_items_share_the_gradient_of_their_category() -> None:
    model = made()
    table = model.embedding.categories
    assert table is not None
    data = session_graphs(*flat_clicks([[0, 4], [3]]))
    data.y = torch.tensor([3, 1])
    model.loss(data).backward()
    grad = table.weight.grad
    assert grad is not None
    by_item = model.embedding.weight.grad.to_dense()  # type: ignore[union-attr]
    for number, first in enumerate([0, SIZES[0]]):
        for value in range(SIZES[number]):
            of = (CODES[:, number] == value).nonzero().squeeze(1)
            torch.testing.assert_close(grad[first + value], by_item[of].sum(dim=0))


def test_rows_of_a_step_alone_have_a_gradient_beside_categories() -> None:
    """Of a sampled loss with neighbours; vectors and gradients are those of the whole table."""
    dense, sampled = made(neighbours=3), made(neighbours=3, loss="sampled")
    sampled.load_state_dict(dense.state_dict())
    items = torch.tensor([4, 0, 3, 0])
    weight = torch.randn(4, 4, dtype=torch.float64)
    for model in (dense, sampled):
        (model.clicked(items) * weight).sum().backward()
    torch.testing.assert_close(sampled.clicked(items), dense.clicked(items))
    grads = [dict(model.named_parameters()) for model in (dense, sampled)]
    for name in grads[0]:
        whole, some = (each[name].grad for each in grads)
        assert (whole is None) == (some is None)
        if whole is not None and some is not None:
            assert some.is_sparse == (name == "embedding.weight")
            torch.testing.assert_close(some.to_dense(), whole.to_dense())


@pytest.mark.parametrize("scale", [None, 9.0])
def test_a_cold_item_enters_as_its_categories(scale: float | None) -> None:
    model = made(num_trained=TRAINED, scale=scale, neighbours=3).eval()
    of_category = vectors_by_loop(model, with_ids=False)
    if scale is not None:
        of_category = torch.nn.functional.normalize(of_category)
    found = model.clicked(torch.tensor([6, 1, 7]))
    torch.testing.assert_close(found[0], of_category[6])
    torch.testing.assert_close(found[2], torch.zeros(4, dtype=torch.float64))
    scores = model.scores(session_graphs(*flat_clicks([[6], [0, 7]])))
    assert bool((scores[:, TRAINED:] == -torch.inf).all()), "it is not recommended without a text"
    changed = model.scores(session_graphs(*flat_clicks([[7]])))
    assert not torch.allclose(scores[:1, :TRAINED], changed[:, :TRAINED])


def test_texts_say_more_of_a_cold_item_than_its_category() -> None:
    model = made(num_trained=TRAINED, text_channels=5)
    text = torch.randn(ITEMS, 5, generator=torch.Generator().manual_seed(0)).double()
    text[7] = 0
    model.set_text(text)
    randomise(model, seed=2)
    codes = CODES.clone()
    codes[7] = torch.tensor([1, 2])
    model.set_categories(codes)
    model.eval()
    with_both, alone = model.clicked(torch.tensor([6, 7]))
    assert model.embedding.categories is not None
    torch.testing.assert_close(alone, model.embedding.categories(torch.tensor([7]))[0])
    near = model.clicked(model.stand_ins[0])
    torch.testing.assert_close(with_both, (near * model.stand_in_weight[0].unsqueeze(1)).sum(0))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \[8, 2\] \(got \[8, 1\]\)"):
        made().set_categories(CODES[:, :1])
    with pytest.raises(ValueError, match=r"below \[2, 3\] \(got \[-1, -1\] to \[1, 3\]\)"):
        ItemCategories(8, 4, SIZES).set_codes(CODES + (CODES == 2))
    with pytest.raises(ValueError, match="SRGNN: it was made without category_sizes"):
        build_model({"name": "srgnn", "num_items": 3}).set_categories(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="category_sizes"):
        build_model({"name": "srgnn", "num_items": 3, "category_sizes": [0]})
