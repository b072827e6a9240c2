"""The base class of models whose softmax is one of several, mixed with counted candidates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data.graphs import graphs_of
from pyg_srgnn.functional.asked_items import mix_in, mixed_softmaxes
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.lookups import Hidden, Pairs
from pyg_srgnn.functional.mixture import (
    Share,
    Softmaxes,
    find_candidates,
    log_mixture,
    log_parts,
    mixed_losses,
)
from pyg_srgnn.functional.topk import best_of_scores
from pyg_srgnn.nn.component import HELD_OUT, Component
from pyg_srgnn.nn.expert import Expert, ItemExpert
from pyg_srgnn.nn.losses import at_least_float32
from pyg_srgnn.nn.session_model import Rows, SessionModel


class MixtureModel(SessionModel):
    """A :class:`SessionModel` that mixes other softmaxes and counts into its own softmax.

    Every :class:`Expert` and every :class:`Component` that is an attribute is a part of the
    mixture, which :mod:`pyg_srgnn.functional.mixture` describes; without any, this is a
    :class:`SessionModel`. A subclass encodes a session in three steps: what its items enter the
    model as, their features after propagation, and the session's vector that is read from these.
    """

    def _entered(self, data: Data, counted: bool | None = None) -> Tensor:
        """What the nodes' items enter the model as [N, d]; see :meth:`nodes`."""
        raise NotImplementedError

    def _propagated(
        self, data: Data, embedded: Tensor, graphs: SessionGraphs, counted: bool | None = None
    ) -> Tensor:
        """Features [N, d] of nodes that enter as ``embedded`` [N, d]; see :meth:`nodes`."""
        raise NotImplementedError

    def read(self, h: Tensor, graphs: SessionGraphs) -> Tensor:
        """Session vectors [B, d] of the nodes' features [N, d], before they are normalised."""
        raise NotImplementedError

    def _hidden(self, data: Data) -> Hidden:
        """What counts must not give away of the samples while they are trained."""
        return Hidden(data.y)

    def _held_out(self, data: Data) -> Tensor | None:
        """Samples that train the mixture alone, not the model, bool [B]; None: there is none."""
        return None

    def _trial(
        self, data: Data, at: Tensor, taken: Pairs | None, rows: Sequence[Rows | None]
    ) -> Tensor:
        """Losses [K] of the sessions that are held out, ``at`` [K], which train the gates.

        Args:
            data: The batch.
            at: Their numbers.
            taken: What the softmaxes leave out.
            rows: Gives the vectors of each expert.
        """
        raise NotImplementedError

    def nodes(self, data: Data, counted: bool | None = None) -> Tensor:
        """Features of the nodes after propagation [N, d].

        Args:
            data: A ``Batch`` of session graphs.
            counted: Whether :meth:`set_training` has counted these samples, so that its tables must
                not give away their next items. (default: in training)
        """
        return self._propagated(data, self._entered(data, counted), graphs_of(data), counted)

    def encode(self, data: Data) -> Tensor:
        """Session vectors [B, d], before they are normalised."""
        return self.read(self.nodes(data), graphs_of(data))

    @property
    def experts(self) -> dict[str, Expert]:
        """The experts by their names."""
        return {name: part for name, part in self.named_children() if isinstance(part, Expert)}

    @property
    def components(self) -> dict[str, Component]:
        """The mixture's components by their names, from the innermost; exclusive ones last."""
        found = [
            (name, part) for name, part in self.named_children() if isinstance(part, Component)
        ]
        return dict(sorted(found, key=lambda named: named[1].exclusive))

    def scores(self, data: Data) -> Tensor:
        """Scores of every item for every session [B, V]; of a mixture, log-probabilities."""
        if not self.log_probabilities:
            return super().scores(data)
        logs, shift = self._mixture(data)
        return logs.add_(shift)

    def log_distribution(self, data: Data, counted: bool = False) -> Tensor:
        """See :meth:`SessionModel.log_distribution`."""
        if not self.log_probabilities:
            s_h = self.finish(self.read(self.nodes(data, counted), graphs_of(data)))
            return self._scores_without_own(s_h, data, counted).log_softmax(dim=1)
        logs, shift = log_mixture(*self._shares(data, counted))
        return logs + shift

    def log_parts(self, data: Data, items: Tensor) -> dict[str, Tensor]:
        """See :meth:`SessionModel.log_parts`."""
        if not self.log_probabilities:
            return super().log_parts(data, items)
        parts = log_parts(*self._shares(data), items)
        return dict(zip(["model", *self.experts, *self.components], parts, strict=True))

    def _mixture(self, data: Data) -> tuple[Tensor, Tensor]:
        """See :func:`pyg_srgnn.functional.mixture.log_mixture`."""
        return log_mixture(*self._shares(data))

    def _shares(self, data: Data, counted: bool = False) -> tuple[Softmaxes, list[Share]]:
        """The softmaxes, and the share of every component."""
        components, graphs = self.components.values(), graphs_of(data)
        hidden = self._hidden(data) if counted else None
        embedded = self._entered(data, counted)
        h = self._propagated(data, embedded, graphs, counted)
        s_h = self.finish(self.read(h, graphs))
        found, _ = find_candidates([each.source() for each in components], data.x, graphs, hidden)
        shares = [
            component.share(h, s_h, graphs, candidates)
            for component, candidates in zip(components, found, strict=True)
        ]
        softmaxes = Softmaxes([self._scores_without_own(s_h, data, counted)], [])
        for name, expert in self.experts.items():
            query, gate = self._ask(expert, data.x, embedded, s_h, graphs)
            softmaxes.gates.append(gate)
            if isinstance(expert, ItemExpert):
                softmaxes.scores.append(self._scores_without_own(query, data, counted))
                continue
            of = [*expert.parameters(), *expert.buffers()]
            table = self._made_once(name, of, partial(expert.rows, self))
            softmaxes.scores.append(at_least_float32(self._of_all(query @ table.T)))
        return softmaxes, shares

    def _ask(
        self,
        expert: Expert,
        x: Tensor,
        embedded: Tensor,
        s_h: Tensor,
        graphs: SessionGraphs,
        as_cold: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The queries of an expert [B, e], and its gate [B]."""
        of_items = isinstance(expert, ItemExpert)
        clicked = embedded if of_items else expert.rows(self, x, as_cold)
        return self.queries(expert, clicked, s_h, graphs)

    def queries(
        self, expert: Expert, clicked: Tensor, s_h: Tensor, graphs: SessionGraphs
    ) -> tuple[Tensor, Tensor]:
        """The queries of an expert [B, e], whose products are the scores, and its gate [B].

        Args:
            expert: The expert.
            clicked: What it reads of the nodes' items [N, ...].
            s_h: Session vectors [B, D].
            graphs: The session graphs.
        """
        # Without the columns that are no part of the session's vector.
        query, gate = expert(clicked, s_h[:, : self.embedding.channels], graphs)
        return (self.finish(query) if isinstance(expert, ItemExpert) else query), gate

    def loss_and_logs(
        self, data: Data, items: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See :meth:`SessionModel.loss_and_logs`; the logarithms are those of the mixture.

        Raises:
            RuntimeError: If something has to be counted before, but :meth:`set_training` was not
                called.
        """
        if not self.log_probabilities:
            return super().loss_and_logs(data, items)
        components, graphs = self.components.values(), graphs_of(data)
        embedded = self._entered(data)
        h = self._propagated(data, embedded, graphs)
        s_h = self.finish(self.read(h, graphs))
        sources = [component.source() for component in components]
        hidden = self._hidden(data) if self.training else None
        found, taken = find_candidates(sources, data.x, graphs, hidden)
        softmaxes = [self.losses_and_logs(s_h, data, taken, items=items)]
        rows: list[Rows | None] = []
        gates: list[Tensor] = []
        for expert in self.experts.values():
            query, gate = self._ask(expert, data.x, embedded, s_h, graphs)
            rows.append(self._rows_of(expert))
            softmaxes.append(self.losses_and_logs(query, data, taken, rows[-1], items))
            gates.append(gate)
        alone = [losses for losses, _ in softmaxes]
        logs = [asked for _, asked in softmaxes if asked is not None]
        held_out = self._held_out(data)
        if held_out is not None:
            alone = [torch.where(held_out, each.detach(), each) for each in alone]
            s_h = torch.where(held_out.unsqueeze(1), s_h.detach(), s_h)
            h = torch.where(held_out[graphs.batch].unsqueeze(1), h.detach(), h)
        losses = self._mixed(alone, gates, held_out)
        if held_out is not None:
            # A constant factor: processes that share a batch hold out other numbers of sessions.
            at = held_out.nonzero().squeeze(1)
            with self.output.whole():
                trial = HELD_OUT * self._trial(data, at, taken, rows)
            losses = losses.index_add(0, at, trial - trial.detach())
        mixed = self._mixed_logs(logs, gates, held_out) if logs else None
        for component, candidates in zip(components, found, strict=True):
            share = component.share(h, s_h, graphs, candidates)
            losses = component.losses(share, losses, data.y, held_out)
            if items is not None and mixed is not None:
                mixed = mix_in(share, mixed, items, self.num_items)
        return self.mean_of(losses, data), mixed

    def _rows_of(self, expert: Expert) -> Rows | None:
        """Gives the expert's vectors, if they are its own; those of all items are made once."""
        if isinstance(expert, ItemExpert):
            return None
        if self.sampler is not None:
            return partial(expert.rows, self)
        table = expert.rows(self)

        def rows(items: Tensor | None) -> Tensor:
            return table if items is None else table.index_select(0, items)

        return rows

    def _mixed(
        self, losses: Sequence[Tensor], gates: Sequence[Tensor], held_out: Tensor | None
    ) -> Tensor:
        """Loss of each session [B] by the softmaxes mixed.

        Each is trained as if it were alone, but those that are joint with the model's own, as one.
        """
        if not gates:
            return losses[0]
        own, *others = losses
        joint = [expert.joint for expert in self.experts.values()]
        together = [n for n, one in enumerate(joint) if one]
        if together:
            taught = [gates[n] for n in together]
            if held_out is not None:
                taught = [torch.where(held_out, gate.detach(), gate) for gate in taught]
            own = mixed_losses([own, *(others[n] for n in together)], taught)
        free = [
            gate.detach() if one or held_out is not None else gate
            for gate, one in zip(gates, joint, strict=True)
        ]
        mixed = mixed_losses([each.detach() for each in losses], free)
        trained = [own, *(loss for loss, one in zip(others, joint, strict=True) if not one)]
        return mixed + sum(each - each.detach() for each in trained)

    def _mixed_logs(
        self, logs: Sequence[Tensor], gates: Sequence[Tensor], held_out: Tensor | None
    ) -> Tensor:
        """Log-probabilities of a few items by the softmaxes mixed [B, K].

        They train no vectors with the sessions that are held out, as the losses do not. Gates learn
        of all sessions, unlike by the losses: a teacher's gates, which they imitate, were trained
        with items as if cold.
        """
        found = torch.stack([*logs])
        if held_out is not None:
            found = torch.where(held_out.unsqueeze(1), found.detach(), found)
        return mixed_softmaxes(found, gates)

    def _best(self, data: Data, k: int) -> tuple[Tensor, Tensor]:
        if not self.log_probabilities:
            return super()._best(data, k)
        logs, shift = self._mixture(data)
        values, items = best_of_scores(logs, k)
        return values + shift, items
