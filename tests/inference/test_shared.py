"""A model in a file that several processes map."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.recommender import load_trained
from pyg_srgnn.inference.shared import map_shared, write_shared
from tests.export.exports import IDS, checkpoint


def shared(given, path):
    write_shared(given, path)
    return map_shared(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "plain", "gru4rec", "mixture"])
def test_it_answers_as_the_model_does(tmp_path, name):
    sessions = [[IDS[1], IDS[2]], [IDS[4]], []]
    trained = load_trained(export(checkpoint(name), tmp_path / "export"))
    for kind, given in (("export", trained), ("checkpoint", checkpoint(name))):
        mapped = shared(given, tmp_path / f"{kind}.bin")
        (tmp_path / f"{kind}.bin").unlink()  # the memory stays
        wanted = Recommender.of(given).answer(sessions, 10)
        assert Recommender.of(mapped).answer(sessions, 10) == wanted
        recommender = Recommender.of(given)
        for copied in (pickle.loads(pickle.dumps(recommender)), copy.deepcopy(recommender)):
            assert copied.answer(sessions, 10) == wanted


def test_tensors_that_share_memory_share_it_again(tmp_path):
    whole = torch.arange(40.0).view(5, 8)
    given = {"whole": whole, "row": whole[1], "columns": whole.T, "again": whole}
    found = shared(given, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size < 2 * whole.nbytes + 2_000
    for name, tensor in given.items():
        assert torch.equal(found[name], tensor) and found[name].stride() == tensor.stride()
    found["whole"][1] = -1
    assert (found["row"] == -1).all() and (found["columns"][:, 1] == -1).all()
    assert found["again"] is found["whole"]


def test_what_one_changes_the_others_do_not_see(tmp_path):
    one = shared(torch.zeros(5), tmp_path / "file")
    one += 1
    assert torch.equal(map_shared(tmp_path / "file"), torch.zeros(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool])
@pytest.mark.parametrize("size", [(), (0,), (0, 3), (7, 1, 2)])
def test_types_and_sizes(tmp_path, dtype, size):
    given = [torch.ones(size, dtype=dtype), torch.nn.Parameter(torch.ones(3))]
    found = shared(given, tmp_path / "file")
    assert found[0].dtype == dtype and torch.equal(found[0], given[0])
    assert isinstance(found[1], torch.nn.Parameter) and found[1].requires_grad


def test_rounded_vectors_are_in_the_file(tmp_path):
    catalogue = Catalogue(torch.randn(2_048, 8), "bfloat16")
    found = shared(catalogue, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size > 2_048 * 8 * (4 + 2)
    assert torch.equal(found._vectors, catalogue._vectors)


def test_an_existing_file_is_not_written_over(tmp_path):
    write_shared([], tmp_path / "file")
    with pytest.raises(FileExistsError):
        write_shared([], tmp_path / "file")
