"""An index of inverted lists: recall as it says, exact products, refused where it is of no use."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor

pytest.importorskip("faiss", reason="faiss is not installed: pip install '.[index]'")

from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.index import Index


def _shop(items: int = 6_000) -> tuple[Tensor, Tensor]:
    """Items in clusters, of unequal lengths, and sessions that ask for some of them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(60, 16, generator=generator)
    near = centres[torch.randint(60, (items,), generator=generator)]
    vectors = near + 0.3 * torch.randn(items, 16, generator=generator)
    vectors *= 0.5 + torch.rand(items, 1, generator=generator)
    asked = centres[torch.randint(60, (300,), generator=generator)]
    return vectors, asked + 0.3 * torch.randn(300, 16, generator=generator)


@pytest.mark.parametrize("held_out", [True, False])
def test_recall_is_what_was_asked_for_and_what_it_says(held_out: bool) -> None:
    vectors, sessions = _shop()
    index, facts = Index.build(vectors, sessions if held_out else None, k=10, recall=0.95)
    assert facts["recall"] >= 0.95
    assert facts["queried_with"] == ("sessions" if held_out else "items")
    assert 1 <= facts["probes"] == index.probes <= facts["lists"] // 4
    if held_out:
        values, found = index.best(sessions, 10)
        _, exact = Catalogue(vectors).best(sessions, 10)
        hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        assert sum(hits) / (10 * len(hits)) == pytest.approx(facts["recall"])
        assert facts["queries"] == len(sessions)
        products = (sessions @ vectors.T).gather(1, found)
        assert torch.allclose(values, products, rtol=1e-5, atol=1e-5)
        assert torch.equal(values, values.sort(dim=1, descending=True).values)


def test_the_sum_of_a_softmax_is_as_far_off_as_it_says() -> None:
    vectors, sessions = _shop()
    index, facts = Index.build(vectors, sessions, log_sums=True)
    values, items, logs = index.best_and_log_sum(sessions, 20)
    assert all(map(torch.equal, index.best(sessions, 20), (values, items)))
    products = sessions.double() @ vectors.double().T
    off = (logs - products.logsumexp(dim=1)).abs()
    mean, most = facts["log_sum_off"]
    assert float(off.mean()) == pytest.approx(mean, rel=0.5) and mean < 0.02
    assert mean < most <= float(off.max()) + 1e-5
    own = torch.arange(len(sessions)), items[:, 0]
    without = index.best_and_log_sum(sessions, 20, own)[2]
    products[own] = -torch.inf
    assert float((without - products.logsumexp(dim=1)).abs().mean()) < 0.02


def test_sums_that_are_far_off_are_refused() -> None:
    vectors, sessions = _shop()
    sessions *= 20  # a single item has nearly all of a sum
    index, _ = Index.build(vectors, sessions)
    sums = index.best_and_log_sum(sessions, 20)[2]
    greatest = (sessions @ vectors.T).amax(dim=1)
    assert torch.all(sums <= greatest + math.log(len(vectors)) + 1e-3)
    with pytest.raises(ValueError, match=r"logarithms are off by .* .expected at most 0.05.: sear"):
        Index.build(vectors, sessions, log_sums=True)


def test_barred_items_without_a_vector_bar_none_of_another_session() -> None:
    vectors, sessions = _shop()
    index, _ = Index.build(vectors, sessions)
    sessions = sessions[:3]
    best = index.best(sessions, 1)[1]
    size = len(index)
    # As keys of session and item, these are the best items of the last session.
    barred = torch.tensor([1, 0]), torch.stack([best[2, 0] + size, best[1, 0] + size])
    wanted = index.best_and_log_sum(sessions, 5)[2]
    assert torch.equal(index.best_and_log_sum(sessions, 5, barred)[2], wanted)
    barred = torch.arange(3), torch.full((3,), -1)
    assert torch.equal(index.best_and_log_sum(sessions, 5, barred)[2], wanted)


def test_lists_that_are_not_looked_into_are_estimated_exactly_where_they_are_normal() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(40_000, 3, generator=generator) * torch.tensor([1.0, 0.5, 0.2])
    turned = vectors @ torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    near = torch.full((3, 3), 100.0) + torch.randn(3, 3, generator=generator)  # a list far away
    lists = torch.cat([torch.zeros(len(turned)), torch.ones(3)]).long()
    centroids = torch.stack([turned.mean(dim=0), near.mean(dim=0)])
    index = Index(torch.cat([turned, near]), centroids, lists, probes=1)
    asked = torch.tensor([[0.5, 0.7, -0.3], [-0.8, 0.1, 0.2]])
    wanted = (asked.double() @ turned.double().T).logsumexp(dim=1)
    found = index._moments(asked, torch.full((2, 1), 100.0))[:, 0]
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=0.02)
    limited = index._moments(asked, torch.full((2, 1), -1.0))[:, 0]
    assert limited.tolist() == pytest.approx([math.log(40_000) - 1] * 2)


def test_a_saved_index_finds_the_same(tmp_path: Path) -> None:
    vectors, sessions = _shop()
    index, _ = Index.build(vectors, sessions)
    index.save(tmp_path / "index.safetensors")
    again = Index.load(tmp_path / "index.safetensors", vectors)
    assert all(map(torch.equal, again.best(sessions, 20), index.best(sessions, 20)))
    data = (tmp_path / "index.safetensors").read_bytes()
    again = Index.load(tmp_path / "another", vectors, data)  # the path is for messages alone
    assert all(map(torch.equal, again.best(sessions, 20), index.best(sessions, 20)))


def test_lists_that_hold_too_few_items_are_no_loss() -> None:
    vectors, sessions = _shop(600)
    centroids = torch.stack([vectors[0], vectors[1]])
    lists = torch.zeros(600, dtype=torch.long)
    lists[:3] = 1  # a list of three, where one may be asked for ten
    index = Index(vectors, centroids, lists, probes=1)
    values, items = index.best(sessions, 10)
    assert values.isfinite().all()
    assert all(len(set(row)) == 10 for row in items.tolist())


def test_vectors_without_clusters_are_refused() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors, sessions = torch.randn(2, 5_000, 64, generator=generator)
    with pytest.raises(ValueError, match=r"no recall@20 of 0.98 with a quarter .* search them"):
        Index.build(vectors, sessions)


def test_files_that_are_no_index_of_the_items(tmp_path: Path) -> None:
    vectors, sessions = _shop()
    path = tmp_path / "index.safetensors"
    Index.build(vectors, sessions)[0].save(path)
    whole = path.read_bytes()
    held = load(whole)

    with pytest.raises(ValueError, match=r"index.safetensors is no index of these 100 items"):
        Index.load(path, vectors[:100])
    with pytest.raises(ValueError, match=r"'centroids' must be torch.float32 \[\d+, 8\]"):
        Index.load(path, vectors[:, :8].contiguous())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is no index of these 6000 items"):
        Index.load(path, vectors)
    save_file({name: held[name] for name in ("centroids", "lists")}, path)
    with pytest.raises(ValueError, match="probes"):
        Index.load(path, vectors)
    for name, wrong in {
        "lists": held["lists"] - 1,
        "probes": torch.tensor(0),
        "centroids": held["centroids"].double(),
    }.items():
        save_file({**held, name: wrong}, path)
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            Index.load(path, vectors)


def test_k_out_of_range() -> None:
    vectors, sessions = _shop()
    index, _ = Index.build(vectors, sessions)
    with pytest.raises(ValueError, match="k must be from 1 to 6000"):
        index.best(sessions, 0)


def test_more_items_are_found_as_if_they_had_been_there() -> None:
    vectors, sessions = _shop()
    index, _ = Index.build(vectors[:-50], sessions)
    more = index.extend(vectors)
    assert len(index) == len(vectors) - 50 and len(more) == len(vectors)
    nearest = torch.cdist(vectors[-50:], index.centroids).argmin(dim=1)
    assert torch.equal(more.lists, torch.cat([index.lists, nearest]))
    found = more.best(vectors[-50:], 1000)[1]
    assert all(item in row for item, row in enumerate(found.tolist(), len(index)))
