"""A readout of several levels: its weights, and the paper's as a special case."""

from __future__ import annotations

import pytest
import torch

from pyg_srgnn.nn import MultiLevelReadout, SessionReadout
from tests.reference import encoders as reference
from tests.reference.names import randomise

CHANNELS = 4
LENGTHS = [1, 3, 7, 2]


def clicks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nodes, the node of each click, and the session of each node."""
    generator = torch.Generator().manual_seed(0)
    session = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
    alias = torch.arange(sum(LENGTHS))
    alias[-1], alias[3] = alias[-2], alias[1]  # two items are clicked again
    h = torch.randn(len(alias), CHANNELS, generator=generator, dtype=torch.float64)
    return h, alias, session


@pytest.mark.parametrize("positions", [0, 3])
def test_one_level_is_the_readout_of_the_paper(positions: int) -> None:
    paper = randomise(SessionReadout(CHANNELS, bias=True, positions=positions)).double()
    readout = MultiLevelReadout(CHANNELS, 1, True, positions).double()
    state = {name: value for name, value in paper.state_dict().items() if name != "lin_last.weight"}
    state["q.weight"] = paper.q.weight
    state["query"] = paper.lin_last.weight.T.unsqueeze(0)
    state["q"] = state.pop("q.weight")
    readout.load_state_dict(state)
    given = clicks()
    torch.testing.assert_close(readout(*given), paper(*given), rtol=0, atol=1e-12)
    found = readout.attention(*given, len(LENGTHS))
    torch.testing.assert_close(found, paper.attention(*given), rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [2, 9])
def test_weights_of_the_clicks_and_vectors(levels: int) -> None:
    readout = randomise(MultiLevelReadout(CHANNELS, levels, positions=2)).double()
    h, alias, batch = clicks()
    found, alpha = readout(h, alias, batch), readout.attention(h, alias, batch)
    p = {f"readout.{name}": value for name, value in readout.named_parameters()}
    start = 0
    for row, length in enumerate(LENGTHS):
        seen = [h[node] for node in alias[start : start + length].tolist()]
        vector, weights = reference.read_out(p, seen, levels, 2, [0] * length)
        torch.testing.assert_close(found[row], vector, rtol=0, atol=1e-12)
        assert alpha[start : start + length].tolist() == pytest.approx(weights, abs=1e-12)
        start += length


def test_arguments() -> None:
    with pytest.raises(ValueError, match="'levels' must be a whole number >= 1"):
        MultiLevelReadout(CHANNELS, 0)
    assert repr(MultiLevelReadout(3, 2)) == "MultiLevelReadout(3, levels=2)"
