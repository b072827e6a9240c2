"""SR-GNN, which scores the catalogue from session graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.graphs import graphs_of, session_of_node
from pyg_srgnn.data.recency import recency
from pyg_srgnn.data.session_pairs import SessionPairs
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.earlier import EARLIER, OlderPart, older_part
from pyg_srgnn.functional.graphs import SessionGraphs, graphs_of_some
from pyg_srgnn.functional.lookups import Hidden, Pairs, pairs_of_some
from pyg_srgnn.functional.mixture import mixed_losses, mixture_losses
from pyg_srgnn.functional.text_similarity import similar_weights
from pyg_srgnn.functional.whitening import Whitening
from pyg_srgnn.nn import authors
from pyg_srgnn.nn.as_cold import AsCold
from pyg_srgnn.nn.expert import ItemExpert
from pyg_srgnn.nn.global_graph import GlobalGraph
from pyg_srgnn.nn.mark_embeddings import MarkEmbeddings
from pyg_srgnn.nn.mixture_model import MixtureModel
from pyg_srgnn.nn.multi_level_readout import MultiLevelReadout
from pyg_srgnn.nn.older_clicks import OlderClicks
from pyg_srgnn.nn.output import not_counted
from pyg_srgnn.nn.readout import Readout, SessionReadout
from pyg_srgnn.nn.repeat_counts_head import RepeatCountsHead
from pyg_srgnn.nn.repeat_head import RepeatHead
from pyg_srgnn.nn.sequence_expert import SequenceExpert
from pyg_srgnn.nn.session_model import Rows
from pyg_srgnn.nn.similar_head import SimilarHead
from pyg_srgnn.nn.softmax_head import SoftmaxHead
from pyg_srgnn.nn.srgnn_conv import SRGNNConv
from pyg_srgnn.nn.text_expert import TextExpert
from pyg_srgnn.nn.text_neighbour_head import TextNeighbourHead
from pyg_srgnn.nn.training_samples import TrainingSamples
from pyg_srgnn.nn.transition_head import TransitionHead
from pyg_srgnn.utils.arguments import checking

LEFT_OUT = ("click", "session")
RESIDUALS = ("none", "add", "highway")
SEQUENCES = ("none", "alone", "joint")
_AS_COLD = 20  # one of so many items counts as cold in what trains gates that see texts
_SCALE = 12.0  # of a text expert's cosines beside a model without a scale
_MOST_CLICKS = 10  # of one item in a session that have an embedding of their own


class SRGNN(MixtureModel):
    """SR-GNN (`Wu et al., AAAI 2019 <https://arxiv.org/abs/1811.00855>`_).

    Item embeddings pass through :class:`SRGNNConv` on each session's graph, a
    :class:`SessionReadout` makes a vector of each session, and its inner product with the
    *initial* embedding of every item is the item's score (equation 8). The defaults are
    the paper's model; every further argument adds an ingredient of later work.

    Args:
        num_items: Number of items V in the catalogue.
        channels: Size d of an item's embedding. (default: 100)
        num_steps: Rounds of propagation. (default: 1)
        reset_after: Gates as in the authors' code instead of the paper. (default: False)
        readout: ``"hybrid"``, ``"local"``, ``"average"`` or ``"attention"``. (default:
            ``"hybrid"``)
        readout_bias: Bias of the hybrid readout, as in the authors' code. (default: False)
        binary_edges: Whether a repeated edge counts once, as in the authors' code, instead of as
            often as it was clicked. (default: False)
        residual: How a node's own embedding bypasses the propagation: ``"none"``; ``"add"``, the
            sum; ``"highway"``, a learned mixture (SGNN-HN, `Pan et al., CIKM 2020
            <https://doi.org/10.1145/3340531.3412014>`_, equation 9). (default: ``"none"``)
        last_k: Last clicks whose mean is the readout's local part. (default: 1)
        readout_levels: Queries of a :class:`MultiLevelReadout`, of the last click to the last so
            many; with ``readout="hybrid"`` and ``last_k=1``. (default: 1: the paper's)
        positions: Places, counted from the end, with an embedding in the attention. (default: 0)
        frequency: Whether a node knows how often it was clicked in its session. (default: False)
        repeat: Whether a :class:`RepeatHead` shares out the probability between the session's own
            items and the rest; ``"counts"``: a :class:`RepeatCountsHead`, which with
            ``transitions`` needs ``leave_out="session"``. (default: False)
        neighbours: Neighbours of each item in the :class:`GlobalGraph` of the training sessions
            that are aggregated into its embedding. (default: 0: no such graph)
        window: Steps within which two clicks make neighbours there. (default: 3)
        neighbours_leave_out: Whether training leaves out of the weight of a sample's target there
            what its own session added to it. (default: False)
        transitions: Followers of each item in the training sessions that a
            :class:`TransitionHead` mixes in. (default: 0: no such mixture)
        leave_out: What training leaves out of a sample's counts of followers: ``"click"``, what its
            target added to those of the clicks before it; ``"session"``, all that its session did.
            (default: ``"click"``)
        similar: Items of each item, clicked in the same training sessions, that a
            :class:`SimilarHead` mixes in. (default: 0: no such mixture)
        counts_half_life: Share of the training samples, back in time, over which the weight of a
            click halves where neighbours, followers and similar items are counted. (default: None:
            all weigh alike)
        sequence: Whether the softmax is mixed with that of a :class:`SequenceExpert`, trained
            ``"alone"`` or, as one mixture, ``"joint"``. (default: ``"none"``)
        softmaxes: Softmaxes of the mixture that the session's vector makes, the model's own and
            others by a :class:`SoftmaxHead`. (default: 1)
        text_similarity: Whether the weight of an edge of a session's graph is multiplied by a
            learned factor of the cosine of its ends' texts, where there are texts. (default: False)
        text_edges: Whether items with fewer neighbours than that are joined with the nearest texts
            there. (default: False)
        text_neighbours: Nearest texts of each item that a :class:`TextNeighbourHead` mixes in,
            where there are texts. (default: 0: no such mixture)
        text_expert: Whether the softmax is mixed with that of a :class:`TextExpert`, where there
            are texts. (default: False)
        events: Whether the types of clicks enter nodes, edges and attention as
            :class:`MarkEmbeddings`, where the data have types; without ``binary_edges``.
            (default: False)
        gaps: Whether the pauses before clicks do, which the data must have. (default: False)
        earlier: Whether the clicks of a known user's earlier sessions are an older part of the
            graph, see :class:`OlderClicks`, where the data have users; without ``binary_edges``.
            (default: False)
        **kwargs: Further arguments of :class:`SessionModel`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_items: int,
        channels: int = 100,
        num_steps: int = 1,
        reset_after: bool = False,
        readout: str = "hybrid",
        readout_bias: bool = False,
        binary_edges: bool = False,
        residual: str = "none",
        last_k: int = 1,
        readout_levels: int = 1,
        positions: int = 0,
        frequency: bool = False,
        repeat: bool | str = False,
        neighbours: int = 0,
        window: int = 3,
        neighbours_leave_out: bool = False,
        transitions: int = 0,
        leave_out: str = "click",
        similar: int = 0,
        counts_half_life: float | None = None,
        sequence: str = "none",
        softmaxes: int = 1,
        text_similarity: bool = False,
        text_edges: bool = False,
        text_neighbours: int = 0,
        text_expert: bool = False,
        events: bool = False,
        gaps: bool = False,
        earlier: bool = False,
        **kwargs: Any,
    ) -> None:
        with checking(self, mode="readout", bias="readout_bias") as check:
            check.flag("binary_edges", binary_edges)
            check.one_of("residual", residual, RESIDUALS)
            check.flag("frequency", frequency)
            known = isinstance(repeat, bool) or repeat == "counts"
            check.that(known, "repeat", "True, False or 'counts'", repeat)
            check.whole("neighbours", neighbours, 0)
            check.whole("window", window, 1)
            check.flag("neighbours_leave_out", neighbours_leave_out)
            check.whole("transitions", transitions, 0)
            check.one_of("leave_out", leave_out, LEFT_OUT)
            whole = not (repeat == "counts" and transitions) or leave_out == "session"
            expected = "session with repeat='counts' and transitions"
            check.that(whole, "leave_out", expected, leave_out)
            check.whole("similar", similar, 0)
            check.number("counts_half_life", counts_half_life, above=0, optional=True)
            check.one_of("sequence", sequence, SEQUENCES)
            check.whole("softmaxes", softmaxes, 1)
            levels = check.whole("readout_levels", readout_levels, 1) and readout_levels > 1
            if levels:
                check.that(readout == "hybrid", "readout", "hybrid with readout_levels", readout)
                check.that(last_k == 1, "last_k", "1 with readout_levels", last_k)
            check.flag("text_similarity", text_similarity)
            weighted = not (text_similarity and binary_edges)
            check.that(weighted, "text_similarity", "False with binary_edges", text_similarity)
            check.flag("text_edges", text_edges)
            check.whole("text_neighbours", text_neighbours, 0)
            check.flag("text_expert", text_expert)
            check.flag("events", events)
            check.flag("gaps", gaps)
            check.flag("earlier", earlier)
            super().__init__(num_items, channels, **kwargs)
            if self.loss_name == "binary":
                check.that(not repeat, "repeat", "False with loss='binary'", repeat)
                check.that(not transitions, "transitions", "0 with loss='binary'", transitions)
                check.that(not similar, "similar", "0 with loss='binary'", similar)
                fits = sequence == "none"
                check.that(fits, "sequence", "none with loss='binary'", sequence)
                check.that(softmaxes == 1, "softmaxes", "1 with loss='binary'", softmaxes)
                mixes = self.text is not None and text_neighbours > 0
                check.that(not mixes, "text_neighbours", "0 with loss='binary'", text_neighbours)
                mixes = self.text is not None and text_expert
                check.that(not mixes, "text_expert", "False with loss='binary'", text_expert)
            num_events = kwargs.get("num_events", 0) if events else 0
            fits = not (binary_edges and num_events)
            check.that(fits, "binary_edges", "False with events, which weigh edges", binary_edges)
            num_earlier = kwargs.get("num_earlier", 0) if earlier else 0
            fits = not (binary_edges and num_earlier)
            check.that(fits, "binary_edges", "False with earlier, which weighs edges", binary_edges)
            self.conv = SRGNNConv(channels, num_steps, reset_after)
            self.readout: Readout = (
                MultiLevelReadout(channels, readout_levels, readout_bias, positions)
                if levels
                else SessionReadout(channels, readout, readout_bias, last_k, positions)
            )
        self.binary_edges = binary_edges
        self.residual = residual
        self.text_edges = text_edges
        similar_texts = text_similarity and self.text is not None
        self.text_factor = nn.Parameter(torch.empty(2)) if similar_texts else None
        self.frequency = nn.Embedding(_MOST_CLICKS + 1, channels) if frequency else None
        self.lin_residual = nn.Linear(2 * channels, channels) if residual == "highway" else None
        self.repeat: RepeatHead | RepeatCountsHead | None = None
        if repeat is True:
            self.repeat = RepeatHead(channels)
        # The innermost component comes first.
        nearest = min(text_neighbours, num_items - 1) if self.text is not None else 0
        self.text_neighbours = TextNeighbourHead(num_items, channels, nearest) if nearest else None
        self.similar = (
            SimilarHead(num_items, channels, similar, counts_half_life) if similar else None
        )
        self.transitions = (
            TransitionHead(num_items, channels, transitions, counts_half_life)
            if transitions
            else None
        )
        if repeat == "counts":
            self.repeat = RepeatCountsHead(channels, self.transitions)
        self.sequence = (
            SequenceExpert(channels, sequence == "joint") if sequence != "none" else None
        )
        for number in range(2, softmaxes + 1):
            self.add_module(f"softmax_{number}", SoftmaxHead(channels))
        self.text_expert: TextExpert | None = None
        if text_expert and self.text is not None:
            sizes = num_items, self.text.vectors.size(1), channels
            factor = _SCALE if self.scale is None else self.scale
            self.text_expert = TextExpert(*sizes, factor, self.dropout, positions)
        self.global_graph = (
            GlobalGraph(
                *(num_items, channels, neighbours, window, self.dropout),
                self.scale is not None,
                counts_half_life,
                neighbours_leave_out,
            )
            if neighbours
            else None
        )
        self.marks = MarkEmbeddings(channels, num_events, gaps) if num_events or gaps else None
        self.older = OlderClicks(channels, num_earlier) if num_earlier else None
        self.num_earlier = num_earlier
        self.counts_half_life = counts_half_life
        self.leave_out = leave_out
        self._samples: TrainingSamples | None = None
        self._own: SessionPairs | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """See :meth:`SessionModel.reset_parameters`; counts start as session popularity."""
        super().reset_parameters()
        for part in (self.marks, self.older):
            if part is not None:
                part.reset_parameters()
        if isinstance(self.repeat, RepeatCountsHead):
            self.repeat.reset_parameters()
        if self.text_factor is not None:
            nn.init.zeros_(self.text_factor)

    def set_training(self, sessions: Sessions) -> None:
        """Count what the model needs of the training sessions: popularity, neighbours, transitions.

        Args:
            sessions: The training sessions.
        """
        super().set_training(sessions)
        self._samples = TrainingSamples(sessions)
        if self.global_graph is not None:
            self.global_graph.set_training(sessions)
            if self.text_edges and self.text is not None:
                self.global_graph.add_text(self.text.vectors, self.num_trained)
        for expert in self.experts.values():
            expert.set_training(sessions)
        for component in self.components.values():
            component.set_training(sessions)
        if self.leave_out == "session" and self.transitions is not None:
            self._own = self.transitions.own_pairs(sessions)
        if self.text is not None:
            known = (self.stand_in_weight[:, 0] > 0).nonzero().squeeze(1)
            for counted in (self.similar, self.transitions):
                if counted is not None:
                    counted.stand_in(self.num_trained + known, self.stand_ins[known, 0])

    def item_tables(self) -> list[Tensor]:
        """See :meth:`SessionModel.item_tables`; the neighbours as well."""
        graph = self.global_graph
        return super().item_tables() + ([] if graph is None else [graph.neighbours, graph.weight])

    def set_text(self, vectors: Tensor, whitening: Whitening | None = None) -> None:
        """See :meth:`SessionModel.set_text`; finds the nearest texts, too."""
        super().set_text(vectors, whitening)
        if self.text is not None and self.text_neighbours is not None:
            self.text_neighbours.set_text(self.text)

    def _clicked(self, items: Tensor, weight: Tensor | None = None) -> Tensor:
        """Embeddings of clicked items [N, d], with those of their neighbours, by their weights."""
        embedded = self.embed(items)
        if self.global_graph is not None:
            # The gradient of a table made of ids and categories has all rows; of ids, those read.
            apart = self.embedding.categories if self.embedding.sparse else None
            table = self.embedding.table(self.text) if apart is None else self.embedding.weight
            embedded = self.global_graph(items, embedded, table, weight, apart)
        return embedded

    def _hidden(self, data: Data) -> Hidden:
        """What counts must not give away of the samples, which are numbered where it matters."""
        counted = self.transitions is not None or self.similar is not None
        half_life = self.counts_half_life if counted else None
        whole = self.leave_out == "session" and self.transitions is not None
        hidden = Hidden(data.y, steps=data.steps if "steps" in data else None)
        if half_life is None and not whole:
            return hidden
        samples, row = self._numbered(data, "leave_out" if whole else "counts_half_life")
        if half_life is not None:
            hidden = hidden._replace(weight=recency(row, samples.count, half_life))
        if self._own is None:
            return hidden
        return hidden._replace(own=self._own.of(samples.session(row), _session_clicks(data)))

    def _numbered(self, data: Data, key: str) -> tuple[TrainingSamples, Tensor]:
        """The training samples, and the numbers of a batch's, for what an argument asks [B]."""
        if self._samples is None:
            raise not_counted(key)
        if "row" not in data:
            raise ValueError(
                f"SRGNN: with {key!r}, a batch in training must have the number of every training "
                "sample, data.row, as those of a dataset have (got none)"
            )
        return self._samples, data.row

    def _held_out(self, data: Data) -> Tensor | None:
        """Samples of every tenth training session, bool [B].

        None where no component is trained on them alone, or the samples are not numbered.
        """
        trial = self.text_neighbours is not None or self.text_expert is not None
        if not self.training or not trial or self._samples is None or "row" not in data:
            return None
        return self._samples.held_out(data.row)

    def _propagated(
        self, data: Data, embedded: Tensor, graphs: SessionGraphs, counted: bool | None = None
    ) -> Tensor:
        """Features of nodes that enter as ``embedded``, after propagation; see :meth:`nodes`."""
        graphs = self._weighted(graphs, data.x)
        if self.older is not None and "earlier_x" in data:
            graphs = replace(graphs, older=self._older(data, graphs, counted))
        return self.propagate(embedded, graphs)

    def _older(self, data: Data, graphs: SessionGraphs, counted: bool | None) -> OlderPart:
        """The older part of the graphs."""
        x, nodes = data.earlier_x, data.earlier_nodes
        batch = torch.arange(graphs.num_graphs, device=x.device).repeat_interleave(nodes)
        found = {name: data[name] for name in EARLIER}
        return older_part(found, graphs.batch, self._enter(x, batch, data, counted))

    def _entered(self, data: Data, counted: bool | None = None) -> Tensor:
        """What the nodes' items enter the model as [N, d]; see :meth:`nodes`."""
        return self._enter(data.x, session_of_node(data)[0], data, counted)

    def _enter(self, x: Tensor, batch: Tensor, data: Data, counted: bool | None) -> Tensor:
        """What items [N] of sessions [N] enter the model as [N, d]; see :meth:`nodes`."""
        counted = self.training if counted is None else counted
        weight = self._neighbours_without(x, batch, data) if counted else None
        return self.clicked(x) if weight is None else self._clicked(x, weight)

    def _weighted(self, graphs: SessionGraphs, x: Tensor) -> SessionGraphs:
        """The graphs with the weights that their edges have by the texts of the items."""
        if self.text_factor is None or self.text is None:
            return graphs
        weights = similar_weights(graphs, x, self.text.vectors, self.text_factor)
        return replace(graphs, edge_weight=weights[0], edge_weight_in=weights[1])

    def _neighbours_without(self, x: Tensor, batch: Tensor, data: Data) -> Tensor | None:
        """Weights of the items' neighbours in other sessions than their own, or None: in all."""
        if self.global_graph is None or not self.global_graph.leave_out:
            return None
        samples, row = self._numbered(data, "neighbours_leave_out")
        session, clicks = samples.session(row), _session_clicks(data)
        return self.global_graph.weight_without(x, batch, data.y, session, clicks)

    def propagate(self, embedded: Tensor, graphs: SessionGraphs) -> Tensor:
        """Features of nodes that enter as ``embedded``, after propagation [N, d] both."""
        if self.frequency is not None:
            embedded = embedded + self.frequency(graphs.often.clamp(max=_MOST_CLICKS))
        # A session graph has each edge once: weights left out are those of the binary rule.
        weights = () if self.binary_edges else (graphs.edge_weight, graphs.edge_weight_in)
        if self.marks is not None:
            embedded = embedded + self.marks.nodes(graphs)
            weights = weights and self.marks.weights(graphs)
        edge_index = graphs.edge_index
        h: Tensor
        if self.older is not None and graphs.older is not None:
            assert weights, "checked above"
            joined = self.older(embedded, edge_index, weights, graphs.older)
            h = self.older.read(self.conv(joined[0], joined[1], *joined[2]), graphs, graphs.older)
            own = torch.arange(graphs.batch.size(0), device=embedded.device)
            embedded = joined[0].index_select(0, own)
        else:
            h = self.conv(embedded, edge_index, *weights)
        if self.residual == "add":
            return embedded + h
        if self.lin_residual is not None:
            share = torch.sigmoid(self.lin_residual(torch.cat([embedded, h], dim=-1)))
            return h + share * (embedded - h)
        return h

    def read(self, h: Tensor, graphs: SessionGraphs) -> Tensor:
        """Session vectors [B, d] of the nodes' features [N, d], before they are normalised."""
        marks = None if self.marks is None else self.marks.clicks(graphs)
        sizes = graphs.alias_index, graphs.batch, graphs.num_graphs
        s_h: Tensor = self.readout(h, *sizes, marks, graphs.clicks)
        return s_h

    def attention(self, data: Data) -> Tensor | None:
        """Weight of every click in the session's vector [L]; None where the readout has none."""
        if not self.readout.attends:
            return None
        return self.attention_of(self.nodes(data), graphs_of(data))

    def attention_of(self, h: Tensor, graphs: SessionGraphs) -> Tensor:
        """The attention by the nodes' features [N, d], of a readout that has one [L]."""
        marks = None if self.marks is None else self.marks.clicks(graphs)
        click = graphs.alias_index, graphs.batch, graphs.num_graphs
        return self.readout.attention(h, *click, marks)

    @property
    def marks_known(self) -> tuple[int, bool, int]:
        """See :attr:`SessionModel.marks_known`."""
        marks = self.marks
        known = (0, False) if marks is None else (marks.num_events, marks.gaps)
        return *known, self.num_earlier

    def _trial(
        self, data: Data, at: Tensor, taken: Pairs | None, rows: Sequence[Rows | None]
    ) -> Tensor:
        """Losses [K] that train gates and text neighbours, with some of the items as if cold.

        Args:
            data: The batch.
            at: The sessions that are held out [K].
            taken: What the softmaxes leave out.
            rows: Gives the vectors of each expert.
        """
        trained, device = self.num_trained, data.x.device
        # Items are numbered as they came on sale. Those that came last are most like cold ones,
        # which come together, too.
        count = int(trained / _AS_COLD)
        late = trained - max(count, trained // 4)
        first = int(torch.randint(late, trained - count + 1, ()))
        cold = torch.zeros(trained, dtype=torch.bool, device=device)
        cold[first : first + count] = True
        node, graphs = graphs_of_some(graphs_of(data), at)
        some = Data(x=data.x[node], y=data.y[at], row=data.row[at])
        taken = None if taken is None else pairs_of_some(taken, at, data.num_graphs)
        as_cold = AsCold(self, cold, some, taken)
        with torch.no_grad():
            weight = self._neighbours_without(some.x, graphs.batch, some)
            clicked = as_cold.clicked(self._clicked(some.x, weight), self._clicked)
            h = self.propagate(clicked, self._weighted(graphs, some.x))
            s_h = self.finish(self.read(h, graphs))
            rest = self.losses(s_h, some, taken)
            if self.embedding.mode == "id":
                rest = as_cold.of_ids(s_h, rest)
        others, gates = [], []
        for expert, rows_of in zip(self.experts.values(), rows, strict=True):
            query, gate = self._ask(expert, some.x, clicked, s_h, graphs, as_cold.cold)
            gates.append(gate)
            with torch.no_grad():
                losses = self.losses(query, some, taken, rows_of)
            if not isinstance(expert, ItemExpert):
                losses = as_cold.of_expert(expert, query, losses)
            elif self.embedding.mode == "id":
                losses = as_cold.of_ids(query, losses)
            others.append(losses)
        if others:
            rest = mixed_losses([rest, *others], gates)
        if self.text_neighbours is None:
            return rest
        candidates = self.text_neighbours.candidates_on_trial(some.x, graphs, taken, cold)
        share = self.text_neighbours.share(h, s_h, graphs, candidates)
        alone = rest.detach()
        return rest + mixture_losses(share, alone, some.y) - alone

    @classmethod
    def from_authors(cls, state_dict: Mapping[str, Tensor], num_steps: int = 1) -> SRGNN:
        """Load a checkpoint of the authors' PyTorch code.

        Their table has a row 0 for padding, their update gate is one minus the paper's, and their
        readout is W_3 [s_g ; s_l]; all three are turned into this class's form.

        Args:
            state_dict: The checkpoint, a mapping of names to tensors.
            num_steps: Rounds of propagation, which are not in their checkpoint. (default: 1)

        Raises:
            ValueError: If a tensor is missing, unknown, or has another shape.
        """
        rows, channels = authors.table_shape(state_dict)
        model = cls(rows - 1, channels, num_steps, True, readout_bias=True, binary_edges=True)
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        converted = authors.converted(state_dict, shapes)
        model.to(converted["embedding.weight"].dtype).load_state_dict(converted)
        return model


def _session_clicks(data: Data) -> int | None:
    """Clicks of the whole sessions of the samples, or more, if the batch tells; else None."""
    return data.session_clicks if "session_clicks" in data else None
