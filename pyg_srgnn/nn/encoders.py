"""A model in two parts, as it is exported: a graph of operators, and tensors with one row per item.

An encoder is called with tensors alone, and holds nothing that grows with the catalogue: its caller
looks up the clicked items' vectors and the candidates of a mixture, and multiplies what it returns
with the vectors of all items.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.earlier import OlderPart
from pyg_srgnn.functional.graphs import SessionGraphs, graph_tensors
from pyg_srgnn.functional.marks import ClickMarks, mark_tensors
from pyg_srgnn.functional.mixture import (
    CLICKED,
    ITEMS,
    ExportedComponent,
    ExportedExpert,
    Source,
    find_candidates,
)
from pyg_srgnn.nn.expert import Expert, ItemExpert
from pyg_srgnn.nn.gru4rec import GRU4Rec
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.nn.srgnn import SRGNN

_Model = TypeVar("_Model", bound=SessionModel)
_ANY = torch.export.Dim.DYNAMIC  # a dimension of any size
_ROWS = 1 << 16  # of the item table, at once


class Encoder(nn.Module):
    """The learned part of a model, with its entries in the manifest.

    Args:
        model: The model.
    """

    kind: str
    """See :attr:`pyg_srgnn.inference.manifest.Facts.encoder`, and there for the next ones."""
    layers = 1
    attends = False
    components: list[ExportedComponent]
    experts: list[ExportedExpert]
    num_trained: int
    normalised: bool
    extensible: bool
    num_events = 0
    num_earlier = 0
    marks: dict[str, str]
    older: dict[str, str]
    arguments: tuple[str, ...]
    """Names of the arguments, in their order."""
    example: tuple[Tensor, ...]
    """Arguments of which no size is 0 or 1, or equals another by chance."""
    dynamic: tuple[Any, ...]
    """Which dimensions of the arguments may have any size."""

    def __init__(self, model: SessionModel) -> None:
        super().__init__()
        self.num_trained = model.num_trained
        self.normalised = model.scale is not None
        self.extensible = model.text is not None
        self.marks, self.older = {}, {}

    @torch.inference_mode()
    def encode(self, arguments: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Map arguments by their names, and the names of results, to these results."""
        found: dict[str, Tensor] = self(*(arguments[name] for name in self.arguments))
        return {name: found[name] for name in wanted}


class GraphEncoder(Encoder):
    """Session graphs to session vectors, by :class:`SRGNN`.

    Args:
        model: The model.
    """

    kind = "graphs"

    def __init__(self, model: SRGNN) -> None:
        super().__init__(model)
        if model.text_edges and model.global_graph is not None and model.embedding.mode != "id":
            self.extensible = False  # a clicked item's text edges are made of tables not exported
        for expert in model.experts.values():
            if not isinstance(expert, ItemExpert) and expert.of_new_items() is None:
                self.extensible = False
        lengths = torch.tensor([3, 5, 2, 7])
        tensors = graph_tensors(torch.arange(17) % 4, lengths)
        x = torch.zeros_like(tensors.pop("x"))
        graphs = SessionGraphs(**tensors, num_graphs=lengths.numel(), older=None)
        sources = {name: each.source() for name, each in model.components.items()}
        candidates, _ = find_candidates([*sources.values()], x, graphs)
        tables = _named(sources)
        self.components: list[ExportedComponent] = []
        known: list[Tensor] = []
        for (name, source), found in zip(sources.items(), candidates, strict=True):
            component = ExportedComponent(
                name=name,
                lookup=source.lookup,
                exclusive=source.exclusive,
                tables={table: tables[id(tensor)] for table, tensor in source.tables.items()},
                known=None if found.known is None else f"known_{len(known)}",
                gate=f"{name}_gate",
                log_share=f"{name}_log_share" if found.share is None else None,
            )
            self.components.append(component)
            known += [] if found.known is None else [found.known]
        embedded = torch.zeros(x.numel(), model.embedding.channels)
        self.experts: list[ExportedExpert] = []
        for name, expert in model.experts.items():
            self.experts.append(_exported(name, expert, f"known_{len(known)}"))
            if not isinstance(expert, ItemExpert):
                known.append(expert.rows(model, x).detach())
        marks = _marks(model, tensors, lengths)
        self.marks = {name: f"known_{number}" for number, name in enumerate(marks, len(known))}
        known += marks.values()
        if model.older is not None:
            edge, session = torch.arange(10).view(5, 2), torch.tensor([0, 0, 1, 3, 3])
            older = OlderPart(embedded[:6], edge, torch.ones(5, 2), session)
            self.older = {
                name: f"known_{number}" for number, name in enumerate(older._fields, len(known))
            }
            known += older
        inputs = (f"known_{number}" for number in range(len(known)))
        self.num_events, _, self.num_earlier = model.marks_known
        self.example = embedded, *tensors.values(), torch.zeros(lengths.numel()), *known
        self.arguments = "embedded", *tensors, "sessions", *inputs
        edges = 1  # the dimension of edge_index that has any size
        self.dynamic = (
            *({int(argument == edges): _ANY} for argument in range(7)),
            *([tuple({0: _ANY} for _ in known)] if known else []),
        )
        self.attends = model.readout.attends
        self.model = _without_items(model)

    def forward(
        self,
        embedded: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor,
        edge_weight_in: Tensor,
        alias_index: Tensor,
        batch: Tensor,
        sessions: Tensor,
        *known: Tensor,
    ) -> dict[str, Tensor]:
        """Encode a batch.

        Args:
            embedded: Vectors that the nodes' items enter the model as [N, d].
            edge_index: See :func:`pyg_srgnn.functional.graphs.graph_tensors`, as for the next four.
            edge_weight: [E].
            edge_weight_in: [E].
            alias_index: [L].
            batch: [N].
            sessions: Zeros [B], whose size is the number of sessions.
            *known: The gates' inputs from the lookups [B, ...], see
                :attr:`pyg_srgnn.functional.lookups.Candidates.known`; then for each expert its
                vectors of the nodes' items [N, e]; then the marks of clicks, see
                :func:`pyg_srgnn.functional.marks.mark_tensors`; then the fields of an
                :class:`~pyg_srgnn.functional.earlier.OlderPart`.

        Returns:
            ``session`` [B, d], the vectors whose products with all items are the scores;
            ``attention`` [L] of a readout that attends; of every component of a mixture its gate
            [B] and, if they are learned, its log-shares [C]; and of every expert its queries [B, e]
            and its gate [B].
        """
        model = self.model
        of_clicks = known[len(known) - len(self.marks) - len(self.older) :]
        marks = dict(zip(self.marks, of_clicks, strict=False))
        older = OlderPart(*of_clicks[len(marks) :]) if self.older else None
        edges = edge_index, edge_weight, edge_weight_in
        graphs = SessionGraphs(*edges, alias_index, batch, sessions.size(0), **marks, older=older)
        h = model.propagate(embedded, graphs)
        session = model.finish(model.read(h, graphs))
        found = {"session": session}
        if self.attends:
            found["attention"] = model.attention_of(h, graphs)
        rest = iter(known)
        for facts, component in zip(self.components, model.components.values(), strict=True):
            given = None if facts.known is None else next(rest)
            # As in Component.share, without the columns that are no part of the session's vector.
            found[facts.gate], log_share = component(h, session[:, : h.size(1)], graphs, given)
            if facts.log_share is not None:
                found[facts.log_share] = log_share
        for of, expert in zip(self.experts, model.experts.values(), strict=True):
            clicked = embedded if of.of_items else next(rest)
            found[of.query], found[of.gate] = model.queries(expert, clicked, session, graphs)
        return found


class StepEncoder(Encoder):
    """One more click, to the states of :class:`GRU4Rec`.

    Args:
        model: The model.
    """

    kind = "steps"
    arguments = "embedded", "state"

    def __init__(self, model: GRU4Rec) -> None:
        super().__init__(model)
        self.model = _without_items(model)
        self.layers, channels = model.gru.num_layers, model.gru.hidden_size
        self.components, self.experts = [], []
        self.example = torch.zeros(3, channels), torch.zeros(self.layers, 3, channels)
        self.dynamic = {0: _ANY}, {1: _ANY}

    def forward(self, embedded: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Take one click of every session.

        Args:
            embedded: Vectors that the sessions' clicks enter the model as [B, d].
            state: States of all layers before it [layers, B, d]; zeros before the first one.

        Returns:
            ``after``, the states after it, and ``session`` [B, d], the vectors whose products with
            all items are the scores.
        """
        state = self.model.gru(embedded.unsqueeze(0), state)[1]
        return {"session": self.model.finish(state[-1]), "after": state}


def encoder_of(model: SessionModel) -> Encoder:
    """The encoder of a model.

    Raises:
        ValueError: If this kind of model cannot be exported.
    """
    if isinstance(model, SRGNN):
        return GraphEncoder(model)
    if isinstance(model, GRU4Rec):
        return StepEncoder(model)
    raise ValueError(
        f"a model of the class {type(model).__name__} cannot be exported; SRGNN and GRU4Rec can"
    )


def weights_of(model: SessionModel, clicks: Tensor) -> dict[str, Tensor]:
    """The tensors of :class:`pyg_srgnn.inference.manifest.Facts`.

    Args:
        model: The model.
        clicks: Clicks of each item in training, int64 [V].
    """
    with torch.no_grad():
        weights = {"item_vectors": model.item_vectors().clone(), "clicks": clicks.contiguous()}
        parts = torch.split(torch.arange(model.num_items), _ROWS)
        clicked = torch.cat([model.clicked(part) for part in parts])
        if not torch.equal(clicked, weights["item_vectors"]):
            weights["clicked_vectors"] = clicked
        if model.text is not None:
            weights["text_vectors"] = model.text.vectors.clone()
            weights["text_mean"] = model.text.mean.clone()
            weights["text_directions"] = model.text.directions.clone()
            factor = getattr(model, "text_factor", None)
            if factor is not None:
                weights["text_factor"] = factor.clone()
            if model.embedding.mode != "id":
                unit = torch.eye(len(model.text.mean))
                weights["text_to_item"] = model.embedding.from_text(unit).contiguous()
        sources = {name: each.source() for name, each in model.components.items()}
        names = _named(sources)
        for source in sources.values():
            weights |= {names[id(table)]: table.clone() for table in source.tables.values()}
        for name, expert in model.experts.items():
            if isinstance(expert, ItemExpert):
                continue
            rows = torch.cat([expert.rows(model, part) for part in parts])
            weights[f"{name}.rows"] = rows
            if (new := expert.of_new_items()) is not None:
                weights[f"{name}.from_text"], weights[f"{name}.bias"] = (
                    tensor.contiguous().clone() for tensor in new
                )
    return weights


def _marks(model: SRGNN, tensors: Mapping[str, Tensor], lengths: Tensor) -> dict[str, Tensor]:
    """Marks of the clicks of session graphs, which a model takes; empty of one that takes none."""
    if model.marks is None:
        return {}
    clicks = torch.zeros(int(lengths.sum()), dtype=torch.long)
    marks = ClickMarks(
        clicks if model.marks.num_events else None,
        model.marks.num_events,
        clicks if model.marks.gaps else None,
    )
    return mark_tensors(marks, tensors, lengths)


def _exported(name: str, expert: Expert, clicked: str) -> ExportedExpert:
    new, of_items = expert.of_new_items() is not None, isinstance(expert, ItemExpert)
    return ExportedExpert(
        name=name,
        rows=ITEMS if of_items else f"{name}.rows",
        clicked=CLICKED if of_items else clicked,
        query=f"{name}_query",
        gate=f"{name}_gate",
        from_text=f"{name}.from_text" if new else None,
        bias=f"{name}.bias" if new else None,
    )


def _named(sources: Mapping[str, Source]) -> dict[int, str]:
    """The name in an export of each table, by its id: a table of two components has one name."""
    names: dict[int, str] = {}
    for name, source in sources.items():
        for table, tensor in source.tables.items():
            names.setdefault(id(tensor), f"{name}.{table}")
    return names


def _without_items(model: _Model) -> _Model:
    """A copy of a model with one row of its tables, which encoding does not read."""
    kept: dict[int, Any] = {}
    tables = model.item_tables()  # alive while their ids are in use
    for table in tables:
        row = table.detach()[:1].clone()
        kept[id(table)] = nn.Parameter(row) if isinstance(table, nn.Parameter) else row
    return copy.deepcopy(model, kept).eval()
