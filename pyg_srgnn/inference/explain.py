"""Explains why an item is recommended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.graphs import flat_clicks, graph_tensors
from pyg_srgnn.functional.marks import MarkedSession
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.inference.answer import Explanation, Origin
from pyg_srgnn.inference.scorer import Session, SessionScorer

_ROWS_AT_ONCE = 256  # at most; fewer where the catalogue is large


def explain(
    scorer: SessionScorer,
    vocabulary: Vocabulary,
    clicks: Session,
    item: int | str | None,
    others: Sequence[int | str],
) -> Explanation:
    """Explain an item, and where the probability of others comes from.

    Args:
        scorer: The model.
        vocabulary: The raw ids of its catalogue.
        clicks: The session's clicks on known items, as indices.
        item: See :meth:`pyg_srgnn.Recommender.explain`.
        others: See there.

    Raises:
        ValueError: See there.
    """
    if not clicks:
        raise ValueError("explain: the session has no item that the model knows")
    scores = scorer.scores([clicks])[0]
    best = [vocabulary.ids[int(scores.argmax())]] if item is None else [item]
    asked = [*best, *others]
    items = vocabulary.encode(asked)
    for raw, i in zip(asked, items, strict=True):
        if i < 0:
            raise ValueError(f"explain: the model does not know the item {raw!r}")
        if scores[i] == -math.inf:
            raise ValueError(f"explain: the item {raw!r} has no probability in this session")
    score = float(scores[items[0]])
    attention = scorer.attention([clicks])
    graph = graph_tensors(*flat_clicks([clicks]))
    return Explanation(
        item=asked[0],
        score=score,
        clicks=vocabulary.decode(clicks),
        attention=None if attention is None else attention.tolist(),
        added=_added(scorer, clicks, items[0], score) if len(clicks) > 1 else None,
        nodes=vocabulary.decode(graph["x"].tolist()),
        edges=[(i, j) for i, j in graph["edge_index"].T.tolist()],
        weights=graph["edge_weight"].tolist(),
        weights_in=graph["edge_weight_in"].tolist(),
        log_probabilities=scorer.log_probabilities,
        origins=_origins(scorer, asked, clicks, items),
    )


def _added(scorer: SessionScorer, clicks: Session, target: int, score: float) -> list[float | None]:
    """What each of several clicks adds to the score of an item."""
    marked = clicks if isinstance(clicks, MarkedSession) else MarkedSession(clicks)
    without = [marked.without(place) for place in range(len(clicks))]
    added: list[float | None] = []
    at_once = rows_at_once(scorer.num_items, _ROWS_AT_ONCE)
    for start in range(0, len(without), at_once):
        rest = scorer.scores(without[start : start + at_once])[:, target].tolist()
        added += [None if one == -math.inf else score - one for one in rest]
    return added


def _origins(
    scorer: SessionScorer, asked: Sequence[int | str], clicks: Session, items: Session
) -> list[Origin]:
    """Where the probability of items comes from."""
    shares: list[dict[str, float] | None] = [None] * len(items)
    similarity: list[list[float | None] | None] = [None] * len(items)
    parts = scorer.log_parts([clicks], torch.tensor([items]))
    if parts:
        logs = torch.stack([part[0] for part in parts.values()], dim=1)
        rows = logs.double().softmax(dim=1).tolist()
        shares = [dict(zip(parts, row, strict=True)) for row in rows]
    if scorer.texts is not None:
        clicked, scored = scorer.texts[list(clicks)], scorer.texts[list(items)]
        known = scored.any(dim=1).unsqueeze(1) & clicked.any(dim=1)
        cosine = (scored @ clicked.T).clamp(-1, 1).masked_fill(~known, math.nan).tolist()
        similarity = [[None if math.isnan(one) else one for one in row] for row in cosine]
    return [Origin(*found) for found in zip(asked, shares, similarity, strict=True)]
