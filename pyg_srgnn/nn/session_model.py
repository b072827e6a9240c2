"""The base class of models that encode a session as a vector: item table, scores, losses, top-k."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.cold import STAND_INS, stand_ins
from pyg_srgnn.functional.products import FEW, PackedItems, blocks_are_faster
from pyg_srgnn.functional.topk import best_of_products, best_of_scores
from pyg_srgnn.functional.whitening import Whitening
from pyg_srgnn.nn.component import Component
from pyg_srgnn.nn.expert import Expert
from pyg_srgnn.nn.item_table import ItemTable
from pyg_srgnn.nn.item_text import ItemText
from pyg_srgnn.nn.losses import (
    Pairs,
    at_least_float32,
    bfloat16_is_fast,
    softmax_binary_cross_entropy,
    softmax_cross_entropy,
    softmax_losses_and_logs,
)
from pyg_srgnn.nn.normalize import normalize
from pyg_srgnn.nn.output import TABLES, Output
from pyg_srgnn.nn.sampled import NegativeSampler, sampled_softmax_cross_entropy
from pyg_srgnn.utils.arguments import checking

LOSSES = ("cross_entropy", "binary", "sampled")
INITS = ("authors", "paper", "simplified")
PRODUCTS = ("full", "bfloat16", "auto")
_LARGEST_COPY = 2**27  # numbers of the item vectors that are laid out for products: 512 MiB


Rows = Callable[[Tensor | None], Tensor]
"""Gives the vectors of some items, or of all for None."""


class SessionModel(nn.Module):
    r"""Scores every item by the inner product of its vector with the session's.

    A subclass encodes the session in :meth:`encode`, from the embeddings of the clicked items that
    :meth:`embed` gives. Scores and losses are the same for all models.

    With ``scale`` :math:`\gamma`, both vectors are normalised and the score is
    :math:`\gamma \cos(s, v_i)`: an item's popularity no longer goes into the length of its vector
    (NISER, `Gupta et al., 2019 <https://arxiv.org/abs/1909.04276>`_, equation 5).

    Args:
        num_items: Number of items V in the catalogue.
        channels: Size d of an item's embedding. (default: 100)
        loss: ``"cross_entropy"``, or ``"binary"``, the form that SR-GNN's paper prints, or
            ``"sampled"``, for large catalogues: the first, estimated from drawn items, with sparse
            gradients of the item table. (default: ``"cross_entropy"``)
        init: How every parameter is drawn: ``"authors"`` U(-1/√d, 1/√d), ``"paper"`` N(0, 0.1²),
            ``"simplified"`` U(-0.1, 0.1). (default: ``"authors"``)
        negatives: Number of items that the sampled loss draws for a batch. (default: 1024)
        sampling: How it draws them: ``"popularity"``, which :meth:`set_training` counts, or
            ``"uniform"``. (default: ``"popularity"``)
        products: Type of the products with the item table in the loss over all items:
            ``"full"``, the parameters' precision or autocast's; ``"bfloat16"``; or ``"auto"``,
            bfloat16 where the hardware has it. Scores are not touched. (default: ``"full"``)
        scale: Factor of the cosine, or None for plain inner products. (default: None)
        dropout: Probability that an entry of a clicked item's embedding is dropped. (default: 0)
        label_smoothing: Share of a target's probability that is spread over all items; with
            ``loss="cross_entropy"`` only. (default: 0)
        item_table: What an item's vector is made of, see :class:`ItemTable`. (default: ``"id"``)
        item_bias: Whether scores have a bias of each item, see :class:`Output`. (default: False)
        popularity: Half-lives, as shares of the training samples, of the clicks whose logarithm
            goes into the scores, by a factor of the session; not with ``loss="binary"``. (default:
            None, none)
        temperature: Whether the scale is learned of the session; with ``scale`` only. (default:
            False)
        output_table: Whether scores have the vectors of clicked items, ``"tied"``, or others,
            learned as a difference, ``"delta"``; not with ``loss="sampled"``. (default:
            ``"tied"``)
        output_dropout: Probability that an entry of an item's vector is dropped in the scores of
            training. (default: 0)
        text_channels: Size F of an item's text vector, see :meth:`set_text`. (default: 0: items
            have no texts)
        num_trained: Items from the first that training sessions hold. The others are *cold*: the
            softmax leaves them out, unless they are known by their texts. (default: all)
        num_events: Number of types of clicks, for models that know them. (default: 0: none)
        num_earlier: Clicks of the user's earlier sessions, at most, for models that know them.
            (default: 0: none)
        category_sizes: Number of values of each column of categories, see :meth:`set_categories`.
            (default: none)

    Raises:
        ValueError: If an argument is out of its range, or does not go with another.
    """

    def __init__(
        self,
        num_items: int,
        channels: int = 100,
        loss: str = "cross_entropy",
        init: str = "authors",
        negatives: int = 1024,
        sampling: str = "popularity",
        products: str = "full",
        scale: float | None = None,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        item_table: str = "id",
        item_bias: bool = False,
        popularity: Sequence[float] | None = None,
        temperature: bool = False,
        output_table: str = "tied",
        output_dropout: float = 0.0,
        text_channels: int = 0,
        num_trained: int | None = None,
        num_events: int = 0,
        num_earlier: int = 0,
        category_sizes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        with checking(self, num_negatives="negatives", mode="item_table") as check:
            check.one_of("loss", loss, LOSSES)
            check.one_of("init", init, INITS)
            check.one_of("products", products, PRODUCTS)
            check.number("scale", scale, above=0, optional=True)
            check.number("dropout", dropout, least=0, below=1)
            check.number("label_smoothing", label_smoothing, least=0, below=1)
            smooths = loss == "cross_entropy" or not label_smoothing
            check.that(smooths, "label_smoothing", f"0 with loss={loss!r}", label_smoothing)
            check.flag("item_bias", item_bias)
            if check.numbers_above("popularity", popularity, 0, optional=True):
                fits = loss != "binary" or not popularity
                check.that(fits, "popularity", "None with loss='binary'", popularity)
            if check.flag("temperature", temperature):
                fits = scale is not None or not temperature
                check.that(fits, "temperature", "False with scale=None", temperature)
            if check.one_of("output_table", output_table, TABLES):
                fits = loss != "sampled" or output_table == "tied"
                check.that(fits, "output_table", "tied with loss='sampled'", output_table)
            check.number("output_dropout", output_dropout, least=0, below=1)
            check.whole("num_trained", num_trained, 1, num_items, optional=True)
            check.whole("num_events", num_events, 0)
            check.whole("num_earlier", num_earlier, 0)
            sized = check.numbers_above("category_sizes", category_sizes, 0)
            trained = num_items if num_trained is None else num_trained
            sampler = NegativeSampler(trained, negatives, sampling)
            whole = check.whole("channels", channels, 1)
            whole = check.whole("text_channels", text_channels, 0) and whole
            if whole and sized:
                self.embedding = ItemTable(
                    *(num_items, channels, item_table, text_channels),
                    sparse=loss == "sampled",
                    category_sizes=category_sizes,
                )
        terms = item_bias, popularity, temperature, output_table, output_dropout
        self.output = Output(num_items, channels, scale, *terms)
        self.init = init
        self.loss_name = loss
        self.products = products
        self.scale = scale
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.num_trained = trained
        self.text = ItemText(num_items, text_channels) if text_channels else None
        if self.text is not None:
            cold = num_items - self.num_trained, min(STAND_INS, self.num_trained)
            self.register_buffer("stand_ins", torch.zeros(cold, dtype=torch.long))
            self.register_buffer("stand_in_weight", torch.zeros(cold))
        self.sampler = sampler if loss == "sampled" else None
        self._made: dict[str, tuple[object, Tensor]] = {}
        self._packed: tuple[Tensor, PackedItems] | None = None

    stand_ins: Tensor
    stand_in_weight: Tensor

    def reset_parameters(self) -> None:
        """Initialise all parameters as ``init`` says; those of the output side are zero."""
        bound = self.embedding.channels**-0.5 if self.init == "authors" else 0.1
        drawn = [part for part in self.children() if part is not self.output]
        for parameter in (each for part in drawn for each in part.parameters()):
            if self.init == "paper":
                nn.init.normal_(parameter, std=0.1)
            else:
                nn.init.uniform_(parameter, -bound, bound)
        self.output.reset_parameters()

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return self.embedding.num_embeddings

    @property
    def num_scored(self) -> int:
        """Items from the first that have a vector; a cold one has none unless its text makes it."""
        return self.num_trained if self.embedding.mode == "id" else self.num_items

    def set_text(self, vectors: Tensor, whitening: Whitening | None = None) -> None:
        """Take the text vectors of all items, before :meth:`set_training` and any training.

        They are whitened; the whitening is fitted to the first ``num_trained`` items. Ids beside a
        text start at zero.

        Args:
            vectors: What an encoder makes of the items' texts, zeros of an item without one [V, F].
            whitening: That of a model whose parameters are taken over. (default: it is fitted)

        Raises:
            ValueError: If the model was made without texts, or the vectors are of another shape.
        """
        if self.text is None:
            raise ValueError(f"{type(self).__name__}: it was made without text_channels")
        self.text.set_vectors(vectors, self.num_trained, whitening)
        self.embedding.reset_ids(self.text)
        cold = self.text.vectors[self.num_trained :]
        items, weight = stand_ins(self.text.vectors[: self.num_trained], cold)
        self.stand_ins.copy_(items)
        self.stand_in_weight.copy_(weight)

    def set_categories(self, codes: Tensor) -> None:
        """Take the categories of all items, before any training.

        Args:
            codes: The value of every item in every column, -1 of none or of one that no trained
                item has [V, C].

        Raises:
            ValueError: If the model was made without categories, or the codes do not fit.
        """
        if self.embedding.categories is None:
            raise ValueError(f"{type(self).__name__}: it was made without category_sizes")
        self.embedding.categories.set_codes(codes)

    def set_training(self, sessions: Sessions) -> None:
        """Count what the model needs of the training sessions; most models need nothing.

        Args:
            sessions: The training sessions.
        """
        self.set_popularity(torch.bincount(sessions.items, minlength=self.num_items))
        self.output.set_training(sessions, self.num_trained)

    def set_popularity(self, counts: Tensor) -> None:
        """Set how often each item was clicked, for the sampled loss.

        Args:
            counts: Clicks of each item, int64 [V].

        Raises:
            ValueError: If the counts are not V whole numbers >= 0.
        """
        if self.sampler is not None:
            # Cold items are not drawn.
            drawn = counts[: self.num_trained] if len(counts) == self.num_items else counts
            self.sampler.set_popularity(drawn)

    def embed(self, items: Tensor) -> Tensor:
        """Embeddings [N, d] of clicked items [N], normalised where the scores are."""
        embedded = self.embedding(items, self.text)
        if self.scale is not None:
            embedded = normalize(embedded)
        return F.dropout(embedded, self.dropout, self.training)

    def clicked(self, items: Tensor) -> Tensor:
        """Input vectors [N, d] of clicked items [N].

        A cold item whose vector is not made of its text enters as the mean of the trained items
        with the nearest texts, or, without a text, as its categories alone.
        """
        vectors = self._clicked(items)
        if self.training or self.num_scored == self.num_items:
            return vectors
        rows = (items >= self.num_trained).nonzero().squeeze(1)
        by_category = self._by_category(items[rows])
        if self.text is None:
            return vectors.index_copy(0, rows, by_category.to(vectors.dtype))
        cold = items[rows] - self.num_trained
        near = self.stand_ins[cold]
        near = self._clicked(near.flatten()).view(*near.shape, vectors.size(1))
        mean = (near * self.stand_in_weight[cold].unsqueeze(2)).sum(dim=1)
        without = (self.stand_in_weight[cold] == 0).all(dim=1, keepdim=True)
        mean = torch.where(without, by_category, mean)
        return vectors.index_copy(0, rows, mean.to(vectors.dtype))

    def _by_category(self, items: Tensor) -> Tensor:
        """Input vectors [N, d] of items of which nothing but their categories is known."""
        categories = self.embedding.categories
        if categories is None:
            return self.embedding.weight.new_zeros(len(items), self.embedding.channels)
        vectors: Tensor = categories(items)
        return vectors if self.scale is None else normalize(vectors)

    def _clicked(self, items: Tensor) -> Tensor:
        """Input vectors [N, d] of clicked items [N] whose own vectors are trained."""
        return self.embed(items)

    def encode(self, data: Data) -> Tensor:
        """Session vectors [B, d], before they are normalised."""
        raise NotImplementedError

    @property
    def marks_known(self) -> tuple[int, bool, int]:
        """How many types of clicks the model knows, whether pauses, and how many earlier clicks."""
        return 0, False, 0

    @property
    def components(self) -> dict[str, Component]:
        """The components that are mixed into the softmax, by their names; by default none."""
        return {}

    @property
    def experts(self) -> dict[str, Expert]:
        """The experts whose softmaxes are mixed with the model's, by their names."""
        return {}

    @property
    def log_probabilities(self) -> bool:
        """Whether the scores are log-probabilities, those of a mixture."""
        return bool(self.components or self.experts)

    def item_tables(self) -> list[Tensor]:
        """Tensors that an exported encoder does not hold: the item table, and those of lookups."""
        tables = [self.embedding.weight, *self.output.tables().values()]
        if self.embedding.categories is not None:
            tables += [self.embedding.categories.weight, self.embedding.categories.codes]
        if self.text is not None:
            tables += [self.text.vectors, self.stand_ins, self.stand_in_weight]
        parts: list[Component | Expert] = [*self.components.values(), *self.experts.values()]
        for part in parts:
            tables += part.tables().values()
        return tables

    def attention(self, data: Data) -> Tensor | None:
        """Weight of every click in the session's vector [L]; None of a model without attention."""
        return None

    def forward(self, data: Data) -> Tensor:
        """Session vectors [B, D] of a ``Data`` or a ``Batch`` of session graphs.

        Their inner products with :meth:`item_vectors` are the scores.
        """
        return self.finish(self.encode(data))

    def finish(self, encoded: Tensor) -> Tensor:
        """Session vectors [B, D] of encoded ones [B, d]; see :meth:`Output.sessions`."""
        return self.output.sessions(encoded)

    def item_vectors(self) -> Tensor:
        """The vectors of the first :attr:`num_scored` items [S, D].

        Their products with session vectors are the scores.
        """
        of = [*self.embedding.parameters(), *self.output.tables().values()]
        return self._made_once("item_vectors", of, self._vectors)

    def similarity_vectors(self) -> Tensor:
        """Vectors by whose angles items are alike: the texts', else of :meth:`item_vectors`.

        A row for each of the first items [S, D], all of them where there are texts.
        """
        if self.text is not None:
            return self.text.vectors
        return self.item_vectors()[:, : self.embedding.channels]  # without terms of the scores

    def _vectors(self) -> Tensor:
        return self.output.items(_first(self.embedding.table(self.text), self.num_scored))

    def _made_once(self, name: str, of: Iterable[Tensor], make: Callable[[], Tensor]) -> Tensor:
        """A table made of tensors and the texts; in evaluation, it is kept until they change.

        It is also made anew where autocast would give it another type, and by :meth:`train` and
        ``eval``: a change through ``.data``, which torch does not count, needs one of them.
        """
        if self.training or torch.is_grad_enabled():
            return make()
        tensors = [*of, *([] if self.text is None else [self.text.vectors])]
        if self.embedding.categories is not None:
            tensors.append(self.embedding.categories.codes)
        device = self.embedding.weight.device.type
        autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        state = [(tensor.data_ptr(), tensor._version) for tensor in tensors], autocast
        if name not in self._made or self._made[name][0] != state:
            self._made[name] = state, make()
        return self._made[name][1]

    def train(self, mode: bool = True) -> SessionModel:
        """Set training or evaluation mode."""
        self._made, self._packed = {}, None
        return super().train(mode)

    def scores(self, data: Data) -> Tensor:
        """Scores of every item for every session [B, V]."""
        return self.scores_of(self(data))

    def scores_of(self, s_h: Tensor) -> Tensor:
        """Scores of every item [B, V] by session vectors [B, D].

        Those of cold items without a vector are minus infinity.
        """
        return self._of_all(self._products(s_h))

    def _products(self, s_h: Tensor) -> Tensor:
        """Products [B, S] of session vectors [B, D] with all item vectors.

        In evaluation on a CPU, the vectors are laid out for them once, until they change, where
        that is faster.
        """
        vectors = self.item_vectors()
        laid_out = (
            not (self.training or torch.is_grad_enabled())
            and vectors.is_cpu
            and vectors.dtype == s_h.dtype == torch.float32
            and len(s_h) > FEW
            and vectors.numel() <= _LARGEST_COPY
            and blocks_are_faster(vectors.size(1))
        )
        if not laid_out:
            return s_h @ vectors.T
        if self._packed is None or self._packed[0] is not vectors:
            self._packed = vectors, PackedItems(vectors, few=False)
        return self._packed[1].scores(s_h)

    def _of_all(self, scores: Tensor) -> Tensor:
        """Scores of every item [B, V] by those of all with vectors [B, S], changed in place."""
        if scores.size(1) < self.num_items:
            return F.pad(scores, (0, self.num_items - scores.size(1)), value=-torch.inf)
        if self.num_trained < self.num_items:
            assert self.text is not None, "an item table without ids alone has texts"
            without = (self.text.vectors[self.num_trained :] == 0).all(dim=1)
            scores[:, self.num_trained :].masked_fill_(without, -torch.inf)
        return scores

    def log_distribution(self, data: Data, counted: bool = False) -> Tensor:
        """Log-probabilities of every item for every session [B, V], with gradients.

        Args:
            data: A ``Batch`` of session graphs.
            counted: Whether :meth:`set_training` has counted these samples, so that its tables must
                not give away their next items ``data.y``. (default: False)
        """
        return self._scores_without_own(self(data), data, counted).log_softmax(dim=1)

    def _scores_without_own(self, s_h: Tensor, data: Data, counted: bool) -> Tensor:
        """Scores [B, V], where samples are counted without what their own clicks add to them."""
        scores = at_least_float32(self.scores_of(s_h))
        own = self.output.own(s_h, data, counted) if counted else None
        if own is None:
            return scores
        of_target = data.y.unsqueeze(1)
        return scores.scatter_add(1, of_target, own.to(scores.dtype).unsqueeze(1))

    def log_parts(self, data: Data, items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each part of a mixture gives to the probability of items.

        Args:
            data: A ``Batch`` of session graphs.
            items: Items of each session [B, K].

        Returns:
            [B, K] by the name of the component, and ``model`` for the model's own softmax; empty of
            a model that mixes nothing.
        """
        return {}

    def loss(self, data: Data) -> Tensor:
        """Mean loss of the sessions against their next items ``data.y``, a scalar.

        Raises:
            RuntimeError: If the loss samples by popularity, but :meth:`set_training` was not
                called.
        """
        return self.loss_and_logs(data)[0]

    def loss_and_logs(
        self, data: Data, items: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The loss, and log-probabilities of a few items, both with gradients, from one pass.

        Args:
            data: The sessions; what was counted of them is left out of the probabilities in
                training, as it is of the loss.
            items: Items of each session, each once and below :attr:`num_trained` [B, K]. (default:
                none)

        Returns:
            What :meth:`loss` gives, and the logarithms [B, K], or None without items.
        """
        losses, logs = self.losses_and_logs(self(data), data, items=items)
        return self.mean_of(losses, data), logs

    def mean_of(self, losses: Tensor, data: Data) -> Tensor:
        """Mean of the losses of sessions [B], weighted by ``data.target_weight`` if there is one.

        Raises:
            ValueError: If targets are to be weighed in a loss that has one value for all.
        """
        if "target_weight" not in data:
            return losses.mean()
        if self.loss_name == "binary":
            raise ValueError(
                "loss='binary' cannot weigh targets by their types; expected equal weights in "
                "dataset.events, or another loss"
            )
        weight: Tensor = data.target_weight
        return (losses * weight).mean()

    @property
    def table_products(self) -> torch.dtype | None:
        """Type of the products with the item table in the loss; None: the usual one."""
        half = self.products == "bfloat16" or (
            self.products == "auto" and bfloat16_is_fast(self.embedding.weight.device)
        )
        return torch.bfloat16 if half else None

    def rows(self, items: Tensor) -> Tensor:
        """Vectors of some items, as the scores take them [n, D]."""
        return self.output.items(self.embedding(items, self.text), items)

    def losses(
        self,
        s_h: Tensor,
        data: Data,
        without: Pairs | None = None,
        rows: Rows | None = None,
    ) -> Tensor:
        """Loss of each session [B].

        Args:
            s_h: Session vectors, as :meth:`forward` gives them [B, D].
            data: The sessions, whose next items are ``data.y`` [B].
            without: Sessions and items [P] that the softmax leaves out. (default: none)
            rows: Gives other vectors than the model's, of some items or of all V. (default: none)
        """
        return self.losses_and_logs(s_h, data, without, rows)[0]

    def losses_and_logs(
        self,
        s_h: Tensor,
        data: Data,
        without: Pairs | None = None,
        rows: Rows | None = None,
        items: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Loss of each session [B], and log-probabilities of a few items in the same softmax.

        Args:
            s_h: Session vectors, as :meth:`forward` gives them [B, D].
            data: The sessions, whose next items are ``data.y`` [B].
            without: Sessions and items [P] that the softmax leaves out; the logarithms of these
                items are without meaning. (default: none)
            rows: Gives other vectors than the model's, of some items or of all V. (default: none)
            items: Items of each session, each once and below :attr:`num_trained` [B, K]. (default:
                none)

        Returns:
            The losses, and the logarithms [B, K], or None without items.

        Raises:
            ValueError: If items are given with ``loss="sampled"``, which has no probabilities.
        """
        target: Tensor = data.y
        if self.sampler is not None:
            if items is not None:
                raise ValueError("loss='sampled' has no probabilities of items; expected another")
            others, log_probability = self.sampler(s_h.device)
            # Sparse, as in embed: no step works on the whole table.
            drawn = (rows or self.rows)(torch.cat([target, others]))
            positives, negatives = torch.split(drawn, [len(target), len(others)])
            losses = sampled_softmax_cross_entropy(
                s_h, positives, negatives, target, others, log_probability, without, "none"
            )
            return losses if rows else self.output.without_own(losses, s_h, data), None
        table = _first(self.item_vectors() if rows is None else rows(None), self.num_trained)
        products = self.table_products
        if without is not None and self.num_trained < self.num_items:
            trained = without[1] < self.num_trained  # the softmax has no others
            without = without[0][trained], without[1][trained]
        logs = None
        if items is not None:  # the loss in binary form has no logarithms; this has another's
            losses, logs = softmax_losses_and_logs(s_h, table, target, items, products, without)
        elif self.loss_name != "binary":
            losses = softmax_cross_entropy(s_h, table, target, products, without, "none")
        if self.loss_name == "binary":
            losses = softmax_binary_cross_entropy(s_h, table, target, products).expand(len(target))
        if rows is not None:
            return losses, logs
        if items is not None and logs is not None:
            logs = self.output.logs_without_own(logs, items, losses, s_h, data, without)
        losses = self.output.without_own(losses, s_h, data)
        if self.label_smoothing:
            # -log p_i differs between items by their scores alone, and the mean of all scores is
            # the score of the mean item.
            mean = s_h @ table.mean(dim=0)
            losses = losses + self.label_smoothing * ((s_h * table[target]).sum(dim=1) - mean)
        return losses, logs

    def topk(self, data: Data, k: int) -> tuple[Tensor, Tensor]:
        """The k best items of every session.

        Returns:
            Their scores and their indices, best first, [B, k] both; k is capped at V.
        """
        with checking(self) as check:
            check.whole("k", k, 1)
        return self._best(data, min(k, self.num_items))

    def _best(self, data: Data, k: int) -> tuple[Tensor, Tensor]:
        if self.num_trained < self.num_items:
            return best_of_scores(self.scores(data), k)
        return best_of_products(self(data), self.item_vectors(), k)


def _first(table: Tensor, count: int) -> Tensor:
    """The first rows; a whole table as it is where the gradient of a slice would be a copy."""
    return table if count == len(table) and torch.is_grad_enabled() else table[:count]
