"""Adds items that nobody has clicked to the tensors of a trained model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.cold import NewItems, stand_ins
from pyg_srgnn.functional.lookups import extended_tables
from pyg_srgnn.functional.whitening import Whitening
from pyg_srgnn.inference.manifest import Facts


def with_new_items(weights: Mapping[str, Tensor], facts: Facts, texts: Tensor) -> dict[str, Tensor]:
    """The tensors of the same model with more items at the end of its catalogue.

    They are those that a model has which knew these cold items from the start: its whitening, and
    the items that stand in for cold ones, are of the trained items alone.

    Args:
        weights: The tensors that the facts name, which stay as they are.
        facts: The facts of the model.
        texts: What the encoder of the texts makes of theirs, not zero [n, F].

    Raises:
        ValueError: If the model has no texts, or a component or expert no rule for new items.
    """
    if "text_vectors" not in weights:
        raise ValueError("the model was trained without texts, by which alone items can be added")
    for expert in facts.experts:
        if expert.from_text is None and not expert.of_items:
            raise ValueError(
                f"items cannot be added to a model with the expert {expert.name!r}, which has no "
                f"rule for the vectors of new items"
            )
    if not facts.extensible:
        raise ValueError(
            "items cannot be added to a model with model.text_edges=true, unless it has "
            "model.item_table=id or model.neighbours=0"
        )
    count, trained = len(texts), facts.first_cold
    whitened = Whitening(weights["text_mean"], weights["text_directions"])(texts)
    text = torch.cat([weights["text_vectors"], whitened])
    near, weight = stand_ins(text[:trained], whitened)
    clicks, vectors = weights["clicks"], weights["item_vectors"]
    clicked = weights.get("clicked_vectors", vectors)
    extended = dict(weights)
    extended["text_vectors"] = text
    extended["clicks"] = torch.cat([clicks, clicks.new_zeros(count)])
    if "text_to_item" in weights:
        rows = whitened @ weights["text_to_item"]
        if facts.normalised:
            rows = F.normalize(rows)
        # They are of average popularity, and without a bias.
        scored = F.pad(rows, (0, vectors.size(1) - rows.size(1)))
        extended["item_vectors"] = torch.cat([vectors, scored])
    else:
        rows = (clicked[near] * weight.unsqueeze(2)).sum(dim=1)
    if "clicked_vectors" in weights or "text_to_item" not in weights:
        extended["clicked_vectors"] = torch.cat([clicked, rows])
    for expert in facts.experts:
        if expert.from_text is not None and expert.bias is not None:
            mapped = F.normalize(whitened @ weights[expert.from_text])
            made = torch.cat([mapped, weights[expert.bias].expand(count, -1)], dim=1)
            extended[expert.rows] = torch.cat([weights[expert.rows], made])
    new = NewItems(text, near[:, 0])
    for component in facts.components:
        tables = {name: weights[tensor] for name, tensor in component.tables.items()}
        for name, table in extended_tables(component.lookup, tables, new).items():
            extended[component.tables[name]] = table
    return extended
