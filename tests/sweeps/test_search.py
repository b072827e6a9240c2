"""Every search space names keys that there are, and values that they take."""

from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.nn import MODELS

SEARCHES = sorted(path.stem for path in (CONF / "search").glob("*.yaml"))


def extremes(override: Override) -> list[str]:
    """All choices, or both ends."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return [str(sweep.start), str(sweep.end)]
    assert isinstance(sweep, ChoiceSweep)
    return list(override.sweep_string_iterator())


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_space(name: str) -> None:
    pytest.importorskip("optuna")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"search={name}"], return_hydra_config=True)
        assert config.test is False, "a search never sees the test set"
        assert config.halving is None or config.model.name in MODELS
        space: dict[str, Any] = dict(config.hydra.sweeper.params)
        parsed = OverridesParser.create().parse_overrides([f"{k}={v}" for k, v in space.items()])
        values = [extremes(override) for override in parsed]
        for turn in range(max(map(len, values))):
            job = [
                f"{override.key_or_group}={of[turn % len(of)]}"
                for override, of in zip(parsed, values, strict=True)
            ]
            validate_run(compose("train", [f"search={name}", *job]))


def test_every_model_with_settings_has_a_search_space() -> None:
    without = {"markov", "popularity", "session_popularity"}
    assert set(SEARCHES) == {*MODELS, *BASELINES, "srgnn_plain"} - without
