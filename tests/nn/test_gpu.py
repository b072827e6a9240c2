"""What only a GPU can tell. Skipped where there is none."""

import pytest
import torch

from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.training.optimizer import adam
from tests.reference.names import random_sessions

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
ITEMS = 5000
SESSIONS = random_sessions(64, ITEMS)


def batch():
    lengths = torch.tensor([len(session) for session in SESSIONS])
    items = torch.tensor([item for session in SESSIONS for item in session])
    return session_graphs(items, lengths, torch.arange(len(SESSIONS)))


@pytest.mark.parametrize("products", ["full", "bfloat16"])
def test_a_step_never_makes_the_host_wait(products):
    model = SRGNN(ITEMS, 32, products=products).cuda()
    optimizer = adam(model)
    pinned = batch().pin_memory()

    def step():
        optimizer.zero_grad()
        model.loss(pinned.to("cuda", non_blocking=True)).backward()
        optimizer.step()

    step()  # the optimizer's state is made here
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
def test_the_same_as_on_a_cpu(loss):
    torch.manual_seed(0)
    model = SRGNN(ITEMS, 32, loss=loss).double()
    value = model.loss(batch())
    value.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    there = model.cuda()
    again = there.loss(batch().to("cuda"))
    again.backward()
    assert again.item() == pytest.approx(value.item(), rel=1e-10)
    for name, parameter in there.named_parameters():
        torch.testing.assert_close(parameter.grad.cpu(), gradients[name], rtol=1e-8, atol=1e-12)
    best = there.topk(batch().to("cuda"), 20)[0].cpu()
    torch.testing.assert_close(best, there.cpu().topk(batch(), 20)[0])
