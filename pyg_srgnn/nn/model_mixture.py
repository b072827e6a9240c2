"""Mixes trained models into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.model_mixture import NESTED, Weights, mix, mixed_parts, name_of
from pyg_srgnn.functional.topk import best_of_scores
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.utils.arguments import checking

MIXTURE = "mixture"  # its name in configurations and checkpoints
# Its buffers, in the order of Weights.
WEIGHTS = tuple(name if name == "temperature" else f"{name}_weight" for name in Weights._fields)


class ModelMixture(nn.Module):
    r"""A mixture of the probabilities of trained models of any kind, scored as one model.

    A session's own items :math:`S` and new ones are mixed apart, as models differ in which of them
    they know well:

    .. math::
        p(i) = g \sum_m a_m \, p_m(i \mid S) \text{ for } i \in S, \qquad
        (1 - g) \sum_m b_m \, p_m(i \mid \bar S) \text{ for the rest}, \qquad
        g = \sum_m c_m \, p_m(S)

    where :math:`p_m(i \mid \cdot)` is taken of :math:`p_m^{1 / \tau_m}`. The weights
    :math:`a, b, c`, each of which sums to 1, and the temperatures :math:`\tau` are fitted to
    validation sessions by :func:`pyg_srgnn.training.mixing.fit_weights`; before, all members count
    alike. The members are not trained.

    Args:
        members: The models, with the same items; mixtures of models among them, but no deeper.

    Raises:
        ValueError: If there is none, they have other numbers of items, or are nested deeper.
    """

    def __init__(self, members: Sequence[SessionModel | ModelMixture]) -> None:
        super().__init__()
        sizes = sorted({member.num_items for member in members})
        with checking(self) as check:
            check.that(len(sizes) == 1, "members", "models with the same items", sizes)
            depth = 1 + max((_depth(member) for member in members), default=0)
            expected = f"models, or mixtures of models: at most {NESTED} mixtures in each other"
            check.that(depth <= NESTED, "members", expected, depth)
            earlier = sorted({known for member in members for known in _earlier(member)})
            expected = "models that were trained with the same dataset.user_clicks"
            check.that(len(earlier) < 2, "members", expected, earlier)
        self.members = nn.ModuleList(members)
        for name in WEIGHTS:
            value = 1.0 if name == "temperature" else 1 / len(members)
            self.register_buffer(name, torch.full((len(members),), value))
        self.eval().requires_grad_(False)

    new_weight: Tensor
    own_weight: Tensor
    gate_weight: Tensor
    temperature: Tensor
    log_probabilities = True
    text = None
    """The texts are those of its members; items cannot be added by them."""

    @property
    def models(self) -> list[SessionModel | ModelMixture]:
        """The members."""
        return list(self.members)  # type: ignore[arg-type]

    def similarity_vectors(self) -> Tensor:
        """Those of the first member."""
        return self.models[0].similarity_vectors()

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return self.models[0].num_items

    def set_training(self, sessions: Sessions) -> None:
        """Have every member count anew; see :meth:`SessionModel.set_training`."""
        for member in self.models:
            member.set_training(sessions)

    def weighted_as(self, other: ModelMixture) -> ModelMixture:
        """Take over the weights and temperatures of a mixture of as many members."""
        for name in WEIGHTS:
            getattr(self, name).copy_(getattr(other, name))
        return self

    @property
    def weights(self) -> Weights:
        """The weights and temperatures."""
        return Weights(*(getattr(self, name) for name in WEIGHTS))

    @torch.no_grad()
    def log_distribution(self, data: Data, counted: bool = False) -> Tensor:
        """Log-probabilities [B, V]; see :meth:`SessionModel.log_distribution`."""
        return mix(self._distributions(data, counted), self.weights, *_nodes(data))

    def scores(self, data: Data) -> Tensor:
        """Log-probabilities of every item for every session [B, V]."""
        return self.log_distribution(data)

    def topk(self, data: Data, k: int) -> tuple[Tensor, Tensor]:
        """The k best items of every session; see :meth:`SessionModel.topk`."""
        with checking(self) as check:
            check.whole("k", k, 1)
        return best_of_scores(self.scores(data), min(k, self.num_items))

    @torch.no_grad()
    def log_parts(self, data: Data, items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each member gives to the probability of items [B, K], by its name."""
        members = self._distributions(data, counted=False)
        parts = mixed_parts(members, self.weights, *_nodes(data), items)
        return {name_of(number): part for number, part in enumerate(parts)}

    def attention(self, data: Data) -> Tensor | None:
        """None: the members' attentions are not mixed."""
        return None

    def _distributions(self, data: Data, counted: bool) -> Iterator[Tensor]:
        for member in self.models:
            yield member.log_distribution(data, counted)


def _earlier(member: SessionModel | ModelMixture) -> set[int]:
    """How many of a user's earlier clicks the models take that know users."""
    if isinstance(member, ModelMixture):
        return {number for each in member.models for number in _earlier(each)}
    return {member.marks_known[2]} - {0}


def _depth(model: SessionModel | ModelMixture) -> int:
    """Mixtures in each other; 0 of a model that is none."""
    return 1 + max(map(_depth, model.models)) if isinstance(model, ModelMixture) else 0


def _nodes(data: Data) -> tuple[Tensor, Tensor]:
    """Session and item of every node [N]."""
    return session_of_node(data)[0], data.x
