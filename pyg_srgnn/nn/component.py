"""The base class of a mixture's components."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.lookups import Candidates
from pyg_srgnn.functional.mixture import Share, Source, mixture_losses

HELD_OUT = 10  # one of so many sessions trains the components alone, not the model within


class Component(nn.Module, ABC):
    """A component of the mixture of :class:`SRGNN`, see :mod:`pyg_srgnn.functional.mixture`.

    A module of this kind that is an attribute of a model is part of its mixture, in training, in
    evaluation and in exports. Candidates are looked up in its :meth:`tables` by a pure function,
    which an exported model calls as well. The learned part, :meth:`forward`, is traced for exports.
    """

    lookup: str
    """The function that finds the candidates, in :data:`pyg_srgnn.functional.lookups.LOOKUPS`."""
    exclusive: ClassVar[bool] = False
    """Whether the candidates get probability from this component alone."""

    @abstractmethod
    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """How much to trust the candidates.

        Args:
            h: Node features [N, d].
            s_h: Session vectors [B, d].
            graphs: The session graphs.
            known: :attr:`~pyg_srgnn.functional.lookups.Candidates.known` [B, ...], or None.

        Returns:
            The gate's logit [B], and the logarithm of each candidate's probability among its
            session's [C], or None if the lookup gives these.
        """

    def set_training(self, sessions: Sessions) -> None:
        """Count in the training sessions. By default, do nothing."""

    def tables(self) -> dict[str, Tensor]:
        """The tables of the lookup, by default none."""
        return {}

    def source(self) -> Source:
        """Where the candidates come from."""
        return Source(self.lookup, self.exclusive, self.tables())

    def share(self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, candidates: Candidates) -> Share:
        """The share of this component; see :meth:`forward` for the arguments."""
        gate, log_share = self(h, s_h[:, : h.size(1)], graphs, candidates.known)
        return Share.of(candidates, gate, log_share, self.exclusive)

    def losses(
        self, share: Share, rest: Tensor, target: Tensor, held_out: Tensor | None = None
    ) -> Tensor:
        """Loss of each session [B].

        Args:
            share: See :func:`pyg_srgnn.functional.mixture.mixture_losses`.
            rest: See there.
            target: See there.
            held_out: Sessions that the model within is not trained on, bool [B]. (default: none)
        """
        return mixture_losses(share, rest, target)
