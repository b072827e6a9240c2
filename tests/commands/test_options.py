"""Mistyped options of the commands that are not Hydra's."""

from __future__ import annotations

import pytest

from pyg_srgnn.commands import compare, leaderboard


@pytest.mark.parametrize(
    ("main", "typed", "meant"),
    [
        (leaderboard.main, ["runs", "--metrc=mrr@20"], "--metric"),
        (compare.main, ["a", "b", "--drws", "5"], "--draws"),
    ],
)
def test_the_nearest_option_is_suggested(main, typed, meant, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(typed)
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_options_and_runs_in_any_order(capsys) -> None:
    assert compare.main(["here", "--targets", "rare", "there"]) == 1
    assert "here" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        compare.main(["--baseline", "vsknn", "--baseline", "stan"])
    assert "a run and a --baseline of it" in capsys.readouterr().err
