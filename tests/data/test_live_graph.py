"""The graph of a session that is still going on, from raw ids."""

import pytest
from torch_geometric.data import Data

from pyg_srgnn.data import Sessions, Vocabulary, live_graph
from pyg_srgnn.datasets.base import SessionDataset
from tests.data.test_graphs import assert_same
from tests.reference.names import random_sessions

LISTS = random_sessions(20, num_items=8, longest=9)
IDS = [f"item {i}" for i in range(8)]


class Clicks(SessionDataset):
    name = "clicks"

    def read(self):
        sessions = Sessions.from_lists(LISTS)
        return sessions, sessions, Vocabulary(IDS)


def test_it_is_what_the_dataset_gives(tmp_path):
    dataset = Clicks(tmp_path, "trainval")
    prefixes = [session[:cut] for session in LISTS for cut in range(1, len(session))]
    for prefix, data in zip(prefixes, dataset, strict=True):
        live = live_graph(dataset.vocabulary.decode(prefix), dataset.vocabulary)
        assert type(live) is Data and "y" not in live
        del data.y, data.row
        assert_same(live, data)


def test_unknown_ids_are_left_out():
    vocabulary = Vocabulary([30, 10, 20])
    assert_same(
        live_graph(iter([99, 10, 20, "10", 10, 98]), vocabulary),
        live_graph([10, 20, 10], vocabulary),
    )


@pytest.mark.parametrize("ids", [[], [99], ["10"]])
def test_no_known_id(ids):
    with pytest.raises(ValueError, match="at least one item that the vocabulary knows"):
        live_graph(ids, Vocabulary([30, 10, 20]))
