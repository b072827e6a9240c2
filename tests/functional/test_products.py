"""Items that are laid out for products give the products of a plain matrix."""

from __future__ import annotations

import pytest
import torch

from pyg_srgnn.functional import products
from pyg_srgnn.functional.products import PackedItems


@pytest.mark.parametrize("sessions", [1, 2, 3, 16, 50])
@pytest.mark.parametrize(("items", "channels"), [(1, 1), (40, 8), (5_001, 100)])
@pytest.mark.parametrize("packed", [True, False])
def test_the_products_of_a_plain_matrix(
    sessions: int, items: int, channels: int, packed: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(items, channels, generator=generator)
    asked = torch.randn(sessions, channels, generator=generator)
    with torch.backends.mkldnn.flags(enabled=packed), torch.inference_mode():
        scores = PackedItems(vectors).scores(asked)
    expected = asked.double() @ vectors.double().T
    assert scores.shape == (sessions, items) and scores.is_contiguous()
    assert torch.allclose(scores.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("blocks", "plain", "faster"), [(1, 2, True), (2, 2, False), (9, 2, False)]
)
def test_what_is_faster_here_is_measured(
    blocks: float, plain: float, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    scores, mm = PackedItems.scores, torch.mm

    def slow(seconds: float, result: torch.Tensor) -> torch.Tensor:
        clock[0] += seconds
        return result

    monkeypatch.setattr(products, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(PackedItems, "scores", lambda *given: slow(blocks, scores(*given)))
    monkeypatch.setattr(torch, "mm", lambda *given: slow(plain, mm(*given)))
    products.blocks_are_faster.cache_clear()
    try:
        assert products.blocks_are_faster(8) == products.blocks_are_faster(8) == faster
        assert clock[0] == 3 * (blocks + plain)  # once, in turns
    finally:
        products.blocks_are_faster.cache_clear()
