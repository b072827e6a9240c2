"""What the tests of a language model share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pyg_srgnn.llm import AlignedModel
from pyg_srgnn.text.language_model import LanguageModel
from tests.llm.toy import NAMES, Toy
from tests.text.tiny_llm import write_tiny_llm


@pytest.fixture
def tiny(shared) -> Callable[..., LanguageModel]:
    """Opens a tiny language model anew, or its first layers."""
    pytest.importorskip("peft")
    folder = shared.made("tiny-llm", write_tiny_llm)
    return lambda layers=None: LanguageModel.open(folder, layers)


@pytest.fixture
def aligned(tiny) -> Callable[..., AlignedModel]:
    """Makes a tiny model of random weights, whose LoRA layers do something."""

    def make(**settings):
        generator = torch.Generator().manual_seed(3)
        vectors = torch.randn(len(NAMES), 8, generator=generator)
        language_model = tiny()
        texts = language_model.tokens([None, *NAMES[1:]], 2)
        model = AlignedModel(language_model, vectors, texts, **settings)
        with torch.no_grad():
            for parameter in model.trained().values():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def toy(shared) -> Callable[[str], Toy]:
    """A split of the toy sessions."""
    return lambda split: Toy(shared.made("toy", lambda folder: Toy(folder)), split)
