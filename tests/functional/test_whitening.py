"""Whitening against NumPy's covariance; the nearest vectors and stand-ins against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_srgnn.functional import whitening
from pyg_srgnn.functional.cold import STAND_INS, stand_ins
from pyg_srgnn.functional.whitening import Whitening, nearest
from tests.reference import item_text as reference

RAW = 2.0 + np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([4, 2, 1, 0.5, 0.2, 0.1])


def test_the_definition() -> None:
    mean, directions = reference.whitening(RAW)
    found = Whitening.fit(torch.tensor(RAW))
    torch.testing.assert_close(found.mean, torch.tensor(mean))
    torch.testing.assert_close(found.directions, torch.tensor(directions))
    wanted = reference.whitened(RAW, len(RAW))
    torch.testing.assert_close(found(torch.tensor(RAW)), torch.tensor(wanted))


def test_less_relaxed_it_comes_near_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = []
    for relaxed in (0.1, 1e-3, 1e-9):
        monkeypatch.setattr(whitening, "_RELAXED", relaxed)
        mean, directions = Whitening.fit(torch.tensor(RAW))
        covariance = np.cov(((torch.tensor(RAW) - mean) @ directions).numpy(), rowvar=False)
        off = covariance - np.diag(np.diag(covariance))
        assert np.abs(off).max() < 1e-9, "relaxed or not, directions do not correlate"
        apart.append(np.abs(covariance - np.eye(6)).max())
    assert apart[0] > apart[1] > apart[2] and apart[2] < 1e-5


def test_signs_are_determinate() -> None:
    """An eigenvector's sign is open, but the axes of a checkpoint must not be."""
    found = Whitening.fit(torch.tensor(RAW)).directions
    greatest = found.gather(0, found.abs().argmax(dim=0, keepdim=True))
    assert (greatest > 0).all()
    # Rows of another order have the same mean and covariance.
    other = Whitening.fit(torch.tensor(RAW[::-1].copy())).directions
    torch.testing.assert_close(other, found)


def test_the_greatest_variance_comes_first() -> None:
    length = Whitening.fit(torch.tensor(RAW)).directions.norm(dim=0)
    assert (length.diff() > 0).all(), "divided by ever smaller standard deviations"


def test_zeros_stay_zeros_and_others_have_length_one() -> None:
    raw = torch.tensor(RAW, dtype=torch.float32)
    raw[[3, 7]] = 0
    found = Whitening.fit(raw)(raw)
    assert found.dtype == torch.float32
    length = found.norm(dim=1)
    assert not found[[3, 7]].any()
    rest = [row for row in range(len(raw)) if row not in (3, 7)]
    torch.testing.assert_close(length[rest], torch.ones(len(rest)))


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_fewer_vectors_than_directions(rows: int) -> None:
    given = torch.tensor(RAW[:rows])
    found = Whitening.fit(given)
    assert found.directions.isfinite().all()
    whitened = found(torch.tensor(RAW))
    assert whitened.isfinite().all()
    if rows > 1:
        assert (whitened[:rows].norm(dim=1) - 1).abs().max() < 1e-6


def test_equal_vectors_stay_equal() -> None:
    raw = torch.tensor(RAW)
    raw[5] = raw[9]
    found = Whitening.fit(raw)(raw)
    assert torch.equal(found[5], found[9])


@pytest.mark.parametrize("at_once", [2**24, 100, 1])
@pytest.mark.parametrize("without_own", [False, True])
def test_nearest(monkeypatch: pytest.MonkeyPatch, at_once: int, without_own: bool) -> None:
    monkeypatch.setattr(whitening, "_PRODUCTS", at_once)
    vectors = torch.tensor(reference.whitened(RAW, len(RAW)))
    vectors[[4, 11]] = 0
    own = torch.arange(len(vectors)) if without_own else None
    rows, cosines = nearest(vectors, vectors, 5, own)
    for item, (found, cosine) in enumerate(zip(rows.tolist(), cosines.tolist(), strict=True)):
        if item in (4, 11):
            assert cosine == [-1] * 5
            continue
        every = {
            other: float(vectors[item] @ vectors[other])
            for other in range(len(vectors))
            if other not in (4, 11) and not (without_own and other == item)
        }
        best = sorted(every, key=lambda other: -every[other])[:5]
        assert found == best
        assert cosine == pytest.approx([every[other] for other in best])


def test_nearest_of_nothing() -> None:
    rows, cosines = nearest(torch.zeros(0, 3), torch.ones(4, 3), 2)
    assert rows.shape == cosines.shape == (0, 2)
    assert rows.dtype == torch.int64


def test_what_has_no_text_is_never_nearer() -> None:
    """Neither is the item itself, although too few others have a text."""
    vectors = torch.eye(3)[[0, 0, 1]]
    vectors[1] = 0
    rows, cosines = nearest(vectors, vectors, 2, torch.arange(3))
    assert rows[0].tolist() == [2, 1] and cosines[0].tolist() == [0, -1]


@pytest.mark.parametrize("trained", [1, 3, 30])
def test_stand_ins(trained: int) -> None:
    vectors = reference.whitened(RAW, len(RAW))
    vectors[[2, 35]] = 0
    items, weight = stand_ins(torch.tensor(vectors[:trained]), torch.tensor(vectors[trained:]))
    assert items.shape == weight.shape == (len(RAW) - trained, min(STAND_INS, trained))
    for cold, (found, shares) in enumerate(zip(items.tolist(), weight.tolist(), strict=True)):
        wanted = reference.stand_ins(vectors, trained, trained + cold)
        assert {i: w for i, w in zip(found, shares, strict=True) if w} == pytest.approx(wanted)


@pytest.mark.parametrize("size", [1e-20, 1e19, 1e38])
def test_numbers_whose_squares_float32_does_not_hold(size: float) -> None:
    fitted = Whitening.fit(torch.tensor(RAW, dtype=torch.float32))
    fitted = fitted._replace(mean=torch.zeros(6))
    raw = torch.tensor(RAW, dtype=torch.float32)
    raw = raw / raw.abs().max()
    torch.testing.assert_close(fitted(size * raw), fitted(raw))
