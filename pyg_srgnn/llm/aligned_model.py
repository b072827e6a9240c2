"""A language model that reads the vectors of a graph model, and ranks the next item with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.functional.graphs import places_from_end
from pyg_srgnn.llm.prompts import lay_out
from pyg_srgnn.text.language_model import LanguageModel
from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.extras import required_version
from pyg_srgnn.utils.files import write_text, written_aside

SETTINGS = "settings.json"
WEIGHTS = "weights.safetensors"
INSTRUCTION = "The items that a customer looks at, one after another:"


class AlignedModel(nn.Module):
    r"""Ranks the next item by a language model's state, after LLMGR.

    Each click enters as the tokens of its item's text and, behind them, as one vector: the item's
    vector :math:`v_i` of a graph model, mapped into the language model's space. The state
    :math:`h` at the last click's vector is mapped back, :math:`s = U h + b`, and item :math:`j` is
    scored :math:`s^\top v_j`, as the graph model scores it. Item vectors and the language model's
    own weights are fixed; LoRA layers within it and the two maps are trained.

    After Guo et al., `Integrating Large Language Models with Graphical Session-Based Recommendation
    <https://arxiv.org/abs/2402.16539>`_, of which no code is public.

    Args:
        language_model: The language model; LoRA layers are put into it.
        item_vectors: The graph model's item vectors, zeros of a cold item without one [V, d].
        texts: Tokens of each item's text, as :meth:`LanguageModel.tokens` gives them [V, T].
        scale: The graph model's factor of the cosine, or None for inner products. (default: None)
        max_clicks: Clicks of a session that are read, the last ones. (default: 20)
        rank: Rank of the LoRA layers. (default: 8)

    Raises:
        ValueError: If an argument is out of its range, the shapes do not belong together, or peft
            is not installed.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        item_vectors: Tensor,
        texts: Tensor,
        scale: float | None = None,
        max_clicks: int = 20,
        rank: int = 8,
    ) -> None:
        super().__init__()
        with checking(self) as check:
            check.number("scale", scale, above=0, optional=True)
            check.whole("max_clicks", max_clicks, 1)
            check.whole("rank", rank, 1)
            rows = f"a row for each of the {len(item_vectors)} items"
            check.that(len(texts) == len(item_vectors), "texts", rows, list(texts.shape))
            fresh = not hasattr(language_model.model, "peft_config")
            check.that(fresh, "language_model", "opened anew", "one with LoRA layers")
        required_version("peft", "llm", "LoRA")
        from peft import LoraConfig, inject_adapter_in_model

        self.scale = scale
        self.max_clicks = max_clicks
        self.rank = rank
        self.language_model = language_model.model
        self._opened = language_model
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
        inject_adapter_in_model(lora, self.language_model)
        self.into = nn.Linear(item_vectors.size(1), language_model.channels)
        self.back = nn.Linear(language_model.channels, item_vectors.size(1))
        instruction = language_model.tokens([INSTRUCTION], len(INSTRUCTION), special=True)[0]
        self.register_buffer("item_vectors", item_vectors.detach().float().clone())
        self.register_buffer("texts", texts)
        self.register_buffer("instruction", instruction)
        # Vectors enter as long as the tokens' are on average.
        self._length = float(self._embedding.weight.norm(dim=1).mean())

    item_vectors: Tensor
    texts: Tensor
    instruction: Tensor

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.item_vectors)

    @property
    def _embedding(self) -> nn.Embedding:
        table: nn.Embedding = self.language_model.get_input_embeddings()  # type: ignore[operator]
        return table

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """The session's vector after each of its clicks [L, d].

        Args:
            items: Item of each click, session after session [L].
            lengths: Number of clicks of each session, at least 1 [B].
        """
        prompts = lay_out(items, lengths, self.texts, self.instruction)
        inputs = self._embedding(prompts.tokens)
        vectors = self._length * F.normalize(self.into(self.item_vectors[items]))
        inputs = inputs.index_put((prompts.row, prompts.place), vectors)
        states = self.language_model(inputs_embeds=inputs, use_cache=False)[0]
        encoded: Tensor = self.back(states[prompts.row, prompts.place])
        if self.scale is not None:
            encoded = self.scale * F.normalize(encoded)
        return encoded

    def scores(self, data: Data) -> Tensor:
        """Scores of every item for every session [B, V]; minus infinity of items without a vector.

        Args:
            data: A session graph or a batch of them (``x``, ``alias_index``).
        """
        of_node, num_sessions = session_of_node(data)
        session = of_node[data.alias_index]
        place, lengths = places_from_end(session, num_sessions)
        read = place < self.max_clicks
        lengths = lengths.clamp(max=self.max_clicks)
        vectors = self(data.x[data.alias_index][read], lengths)
        scores: Tensor = vectors[lengths.cumsum(0) - 1] @ self.item_vectors.T
        without = (self.item_vectors == 0).all(dim=1)
        return torch.masked_fill(scores, without, -torch.inf)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained by their names: LoRA layers and maps."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def settings(self) -> dict[str, Any]:
        """What :meth:`load` makes the model of, beside the tensors."""
        return {
            "scale": self.scale,
            "max_clicks": self.max_clicks,
            "rank": self.rank,
            "language_model": str(self._opened.path.resolve()),
            "layers": self._opened.layers,
            "fingerprint": self._opened.fingerprint,
        }

    def tensors(self) -> dict[str, Tensor]:
        """All tensors but the language model's own, by their names."""
        held = {**self.trained(), **dict(self.named_buffers(recurse=False))}
        return {name: value.detach().cpu().contiguous() for name, value in held.items()}

    def save(self, folder: str | Path, **facts: Any) -> None:
        """Write the model, without the language model, as safetensors and JSON.

        Args:
            folder: Where to; it is made.
            **facts: Plain values that are kept in ``settings.json``.
        """
        folder = Path(folder)
        write_tensors(folder / WEIGHTS, self.tensors())
        text = json.dumps({**self.settings(), **facts}, indent=1)
        write_text(folder / SETTINGS, text + "\n")

    @classmethod
    def load(cls, folder: str | Path, language_model: LanguageModel | None = None) -> AlignedModel:
        """Open what :meth:`save` wrote; nothing in it is executed.

        Args:
            folder: The folder.
            language_model: The language model; LoRA layers are put into it. (default: None, opened
                where it lay)

        Raises:
            FileNotFoundError: If a file, or the language model, is not there.
            ValueError: If a file is damaged, or the language model is another one.
        """
        folder = Path(folder)
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if language_model is None:
            language_model = LanguageModel.open(settings["language_model"], settings["layers"])
        if language_model.fingerprint != settings["fingerprint"]:
            raise ValueError(
                f"{language_model.path} is not the language model that {folder} was trained with, "
                f"{settings['language_model']} with layers={settings['layers']}"
            )
        try:
            tensors = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ValueError(f"{folder / WEIGHTS} is damaged: {error}") from error
        known = {key: settings[key] for key in ("scale", "max_clicks", "rank")}
        model = cls(language_model, tensors["item_vectors"], tensors["texts"], **known)
        model.set_tensors(tensors, folder / WEIGHTS)
        return model.eval()

    def set_tensors(self, tensors: dict[str, Tensor], source: Path) -> None:
        """Set what :meth:`tensors` gave.

        Raises:
            ValueError: If one is missing or unknown, or has another shape; names the source.
        """
        expected = self.tensors()
        wrong = [
            name
            for name in sorted(expected.keys() | tensors.keys())
            if name not in expected
            or name not in tensors
            or expected[name].shape != tensors[name].shape
        ]
        if wrong:
            raise ValueError(f"{source} does not fit this model: {', '.join(wrong[:5])}")
        self.load_state_dict(tensors, strict=False)


def write_tensors(
    file: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a file of safetensors whole or not at all."""
    with written_aside(file) as aside:
        save_file(tensors, aside, metadata)
