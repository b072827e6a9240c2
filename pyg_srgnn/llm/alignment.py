"""Aligns a language model with a trained graph model, and keeps it in a folder."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data.fingerprint import fingerprint
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.llm.aligned_model import SETTINGS, WEIGHTS, AlignedModel, write_tensors
from pyg_srgnn.llm.item_stage import TextStates, align_items, retrieval
from pyg_srgnn.llm.session_stage import train_epoch
from pyg_srgnn.text.language_model import LanguageModel
from pyg_srgnn.utils.arguments import checking

log = logging.getLogger(__name__)

RESUME = "resume.safetensors"
_MOMENTS = "optimizer."


@dataclass(frozen=True)
class Alignment:
    """How a language model is aligned with a graph model.

    Args:
        text_tokens: Tokens of an item's text that a session shows, at most; 0: vectors alone.
            (default: 12)
        max_clicks: Clicks of a session that are read, the last ones. (default: 20)
        rank: Rank of the LoRA layers. (default: 8)
        steps: Batches of stage 1. (default: 300)
        temperature: Of the contrast in stage 1. (default: 0.1)
        epochs: Passes of stage 2 over the sessions. (default: 3)
        batch_size: Sessions in a batch of stage 2. (default: 16)
        lr: Learning rate of both stages. (default: 1e-3)
        seed: Seed of all that is drawn. (default: 0)

    Raises:
        ValueError: If a value is out of its range.
    """

    text_tokens: int = 12
    max_clicks: int = 20
    rank: int = 8
    steps: int = 300
    temperature: float = 0.1
    epochs: int = 3
    batch_size: int = 16
    lr: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        with checking(self) as check:
            for name, least in (("text_tokens", 0), ("steps", 2), ("seed", 0)):
                check.whole(name, getattr(self, name), least)
            for name in ("max_clicks", "rank", "epochs", "batch_size"):
                check.whole(name, getattr(self, name), 1)
            check.number("temperature", self.temperature, above=0)
            check.number("lr", self.lr, above=0)


def align(
    checkpoint: Checkpoint,
    texts: Sequence[str | None],
    sessions: Sessions,
    language_model: LanguageModel,
    output: str | Path,
    settings: Alignment | None = None,
    valid: Callable[[AlignedModel], float] | None = None,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> AlignedModel:
    """Train both stages and write the model; one that was cut short goes on after its last epoch.

    Args:
        checkpoint: The trained graph model.
        texts: Text of each item in the order of its vocabulary, or None [V].
        sessions: The sessions to train on, those of the graph model.
        language_model: The language model; LoRA layers are put into it.
        output: The folder to write, see :meth:`AlignedModel.load`.
        settings: How to. (default: None, the defaults of :class:`Alignment`)
        valid: Measured after each epoch, greater is better: the best epoch's model is kept.
            (default: None, the last one)
        device: Where to train. (default: ``"cpu"``)
        progress: Whether to show progress bars. (default: True)

    Returns:
        The model, in evaluation mode, on ``device``.

    Raises:
        ValueError: If the texts are not the catalogue's, fewer than two of them differ, or the
            folder holds a training of other settings or data.
    """
    settings, output = settings or Alignment(), Path(output)
    graph_model = checkpoint.single("the alignment of a language model")
    num_items = graph_model.num_items
    if len(texts) != num_items:
        raise ValueError(f"{len(texts)} texts were given for a catalogue of {num_items} items")
    with torch.no_grad():
        vectors = graph_model.item_vectors()[:, : graph_model.embedding.channels]
        vectors = F.pad(vectors, (0, 0, 0, num_items - len(vectors)))  # cold items have none
    if (output / SETTINGS).exists():
        raise ValueError(f"{output} holds a finished model; name another folder, or remove it")
    tokens = language_model.tokens(texts, settings.text_tokens)
    given = graph_model.scale, settings.max_clicks, settings.rank
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = AlignedModel(language_model, vectors, tokens, *given).to(device)
    optimizer = torch.optim.Adam(model.trained().values(), lr=settings.lr)
    facts: dict[str, Any] = {
        "alignment": asdict(settings),
        "checkpoint": str(checkpoint.path.resolve()),
        "data": fingerprint(sessions, sessions[len(sessions) :], checkpoint.vocabulary),
        "fingerprint": language_model.fingerprint,
    }
    unfinished = output / RESUME
    if unfinished.is_file():
        epochs = _resume(unfinished, model, optimizer, facts)
        log.info("%s: goes on after epoch %d", output, len(epochs))
    else:
        epochs = []
        states = text_states(language_model, texts, sessions, progress).to(device)
        how = settings.lr, settings.temperature, settings.seed
        first, *_, last = align_items(model, states, settings.steps, 512, *how, progress)
        found = retrieval(model, states)
        log.info("stage 1: loss %.3f to %.3f, nearest vector %.0f %%", first, last, 100 * found)
    best = max((epoch["valid"] for epoch in epochs if valid), default=-math.inf)
    for number in range(len(epochs) + 1, settings.epochs + 1):
        what = f"stage 2, epoch {number}/{settings.epochs}"
        shown = what if progress else None
        how = number, settings.batch_size, settings.seed
        loss = train_epoch(model, sessions, optimizer, *how, shown)
        value = None if valid is None else valid(model)
        log.info("%s: loss %.3f%s", what, loss, "" if value is None else f", valid {value:.4f}")
        if value is None or value > best:
            best = best if value is None else value
            write_tensors(output / WEIGHTS, model.tensors())
        epochs.append({"loss": loss, "valid": value})
        _keep(unfinished, model, optimizer, {**facts, "epochs": epochs})
    model.set_tensors(load_file(output / WEIGHTS), output / WEIGHTS)
    model.save(output, **facts, epochs=epochs)
    unfinished.unlink()
    return model.eval()


def text_states(
    language_model: LanguageModel,
    texts: Sequence[str | None],
    sessions: Sessions,
    progress: bool = True,
) -> TextStates:
    """The text states of the items that have a text and clicks in some sessions.

    Args:
        language_model: The language model.
        texts: Text of each item, or None [V].
        sessions: The sessions.
        progress: Whether to show a bar. (default: True)

    Raises:
        ValueError: If these items have fewer than two different texts.
    """
    items = [item for item in torch.unique(sessions.items).tolist() if texts[item]]
    chosen = [str(texts[item]) for item in items]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(chosen))}
    if len(numbers) < 2:
        raise ValueError(
            f"{len(items)} of {len(texts)} items have a text and clicks in training, and "
            f"{len(numbers)} of their texts differ: an alignment needs two"
        )
    states = language_model.text_states(list(numbers), progress)
    group = torch.tensor([numbers[text] for text in chosen])
    return TextStates(states[group], torch.tensor(items), group)


def _keep(
    file: Path, model: AlignedModel, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write all that the next epoch depends on."""
    names, state = list(model.trained()), optimizer.state_dict()["state"]
    moments = {
        f"{_MOMENTS}{key}.{names[number]}": tensor.cpu()
        for number, entries in state.items()
        for key, tensor in entries.items()
    }
    write_tensors(file, {**model.tensors(), **moments}, {"facts": json.dumps(facts)})


def _resume(
    file: Path, model: AlignedModel, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """Set what :func:`_keep` wrote, and return the epochs that are done."""
    with safe_open(file, "pt") as opened:
        there = json.loads(opened.metadata()["facts"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    changed = [key for key, value in facts.items() if there[key] != value]
    changed += [
        name
        for name, tensor in model.named_buffers(recurse=False)
        if not torch.equal(tensor.cpu(), tensors[name])
    ]
    if changed:
        raise ValueError(
            f"{file} is of a training with other {', '.join(changed)}; name another folder, or "
            f"remove it"
        )
    state: dict[int, dict[str, Tensor]] = {}
    numbers = {name: number for number, name in enumerate(model.trained())}
    for name in [name for name in tensors if name.startswith(_MOMENTS)]:
        key, _, parameter = name.removeprefix(_MOMENTS).partition(".")
        state.setdefault(numbers[parameter], {})[key] = tensors.pop(name)
    model.set_tensors(tensors, file)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return list(there["epochs"])
