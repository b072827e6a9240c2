"""The base class of experts, further softmaxes over the items beside the model's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.nn.item_text import ItemText


class Catalogue(Protocol):
    """What an expert reads of the model that it is a part of."""

    text: ItemText | None
    """The texts of the items."""

    @property
    def table_products(self) -> torch.dtype | None:
        """Type of the products with what all items have, in a loss; None: no other than usual."""

    def item_vectors(self) -> Tensor:
        """Vectors of the items that have one [S, d]."""

    def rows(self, items: Tensor) -> Tensor:
        """Vectors of some items [n, d]."""


class Expert(nn.Module, ABC):
    """An expert of :class:`SRGNN`: it reads the session in its own way, and scores all items.

    A module of this kind that is an attribute of a model takes part in its mixture of softmaxes,
    see :class:`~pyg_srgnn.functional.mixture.Softmaxes`, in training, evaluation and exports. It is
    trained as if it were alone, unless it is ``joint``: models that are trained independently know
    different things, and their mixture more than either.
    """

    joint = False
    """Whether it and the model's own softmax are trained as one mixture, by its loss."""

    @abstractmethod
    def rows(
        self, model: Catalogue, items: Tensor | None = None, as_cold: Tensor | None = None
    ) -> Tensor:
        """Vectors of items, whose products with :meth:`forward`'s queries are the scores.

        Args:
            model: The model that this is a part of.
            items: The items [n]. (default: all V)
            as_cold: Which of all items count as never clicked, bool [V]; nothing learns of their
                vectors but what cold items have in common. (default: those that are)

        Returns:
            [n, e].
        """

    @abstractmethod
    def forward(self, clicked: Tensor, s_h: Tensor, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
        """Read sessions; traced for exports.

        Args:
            clicked: :meth:`rows` of the nodes' items [N, e].
            s_h: Session vectors of the model [B, d].
            graphs: The session graphs.

        Returns:
            Queries [B, e], and the logits of the gate [B], against 0 of the model's own softmax.
        """

    def tables(self) -> dict[str, Tensor]:
        """Tensors with one row per item that the encoder of an export does not hold."""
        return {}

    def of_new_items(self) -> tuple[Tensor, Tensor] | None:
        """What makes the vectors of new items of their whitened texts, or None if nothing does.

        Returns:
            A map [F, e - n], whose product with a text is normalised, and the last entries [n].
        """
        return None

    def set_training(self, sessions: Sessions) -> None:
        """Count in the training sessions. By default, do nothing."""


class ItemExpert(Expert):
    """An expert that scores items by the model's own vectors, of which there is one table.

    :meth:`forward` is given the vectors that the nodes' items enter the model as, and returns
    encoded sessions, as :meth:`SessionModel.encode` does: :meth:`SessionModel.finish` makes the
    queries of them.

    Args:
        joint: Whether it and the model's own softmax are trained as one mixture. (default: False)
    """

    def __init__(self, joint: bool = False) -> None:
        super().__init__()
        self.joint = joint

    def rows(
        self, model: Catalogue, items: Tensor | None = None, as_cold: Tensor | None = None
    ) -> Tensor:
        """See :meth:`Expert.rows`; of all items, those that have a vector."""
        return model.item_vectors() if items is None else model.rows(items)
