"""How many epochs a training has where nobody says."""

from __future__ import annotations

import pytest

from pyg_srgnn.training import train
from pyg_srgnn.training.length import epochs_for
from tests.tiny import tiny_config

pytestmark = pytest.mark.slow


def test_a_small_log_gets_enough_steps_and_a_large_one_eight_epochs():
    assert [epochs_for(batches) for batches in (1, 83, 84, 100, 249, 250, 251, 10_000)] == [
        24, 24, 24, 20, 9, 8, 8, 8,
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"'batches' must be >= 1 \(got 0\)"):
        epochs_for(0)


def test_a_run_without_a_number_trains_as_one_with_it(tmp_path, monkeypatch):
    """Its schedule spans those epochs, and a refit goes through the same schedule."""
    monkeypatch.setattr("pyg_srgnn.training.length.LEAST_EPOCHS", 3)
    monkeypatch.setattr("pyg_srgnn.training.length.LEAST_STEPS", 0)
    keys = ("optimizer.schedule=cosine", "refit=true", "patience=9")
    by_rule, by_hand = (
        train(
            tiny_config(tmp_path / "data", f"trainer.max_epochs={epochs}", *keys), tmp_path / name
        )
        for epochs, name in (("null", "a"), (3, "b"))
    )
    assert by_rule.epochs == 3
    assert by_rule.test == by_hand.test
    assert by_rule.valid == by_hand.valid


def test_a_refit_alone_goes_by_the_rule_too(tmp_path, monkeypatch):
    monkeypatch.setattr("pyg_srgnn.training.length.LEAST_EPOCHS", 2)
    monkeypatch.setattr("pyg_srgnn.training.length.LEAST_STEPS", 0)
    config = tiny_config(tmp_path / "data", "trainer.max_epochs=null", "refit=only")
    result = train(config, tmp_path / "run")
    assert (result.epochs, result.best_epoch) == (2, 2)
