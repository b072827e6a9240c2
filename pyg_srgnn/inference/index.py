r"""An approximate index for large catalogues: inverted lists, by faiss.

Items are put into lists by the nearest of some centroids, and only the lists whose centroids have
the greatest products with a session are looked into. The number of lists that a recall needs
is measured when the index is made; products are exact, in float32.

A mixture of probabilities asks for the logarithm of a softmax's sum, too. Items in the lists that
are looked into count as they are; the others by the first two moments of their list's products,

.. math:: \sum_{i \in c} \exp(s^\top v_i) \approx
    n_c \exp(s^\top \mu_c + \tfrac12 s^\top \Sigma_c s),

with the diagonal of :math:`\Sigma_c` in the directions in which all lists together vary
independently, and at most by :math:`n_c` times the greatest exponential that was found. It is an
estimate without a bound. How far it was off is measured as well; where products are so large that
a few items make the sum, it is of no use, and the index is refused.

Graphs (HNSW) do not suit inner products of vectors of unequal lengths: they lead from
neighbour to neighbour.

An index is saved as centroids and list numbers in a safetensors file, and made again from these and
the item vectors. faiss's own files would hold the vectors once more, and are parsed by code that
trusts them.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pyg_srgnn.functional.log_sums import LOG2_E, LogSums, log_sum
from pyg_srgnn.functional.topk import best_of_products
from pyg_srgnn.utils.extras import pip_install

_LISTS = 4  # times the square root of V
_POINTS = 64  # items that centroids are trained on, for each
_QUERIES = 2_000  # at most, to measure recall with
_SUMS, _AT_ONCE = 256, 16  # of which sums are measured, and scored at once
_OFF = 0.05  # the most that logarithms of sums may be off on average
_MOST = 4  # an index that looks at more than one list in so many is of no use


class Index:
    """Item vectors in inverted lists; :meth:`best` as :class:`Catalogue` has it, but approximate.

    Args:
        vectors: Item vectors, float32 [V, d].
        centroids: One vector per list, float32 [C, d].
        lists: The list of each item, int64 [V].
        probes: Lists that are looked into.

    Raises:
        ImportError: If faiss is not installed.
        ValueError: If the parts do not belong together.
    """

    def __init__(self, vectors: Tensor, centroids: Tensor, lists: Tensor, probes: int) -> None:
        faiss = _faiss()
        wanted = {
            "centroids": (centroids, torch.float32, [len(centroids), vectors.size(1)]),
            "lists": (lists, torch.int64, [len(vectors)]),
        }
        for name, (found, kind, shape) in wanted.items():
            if found.dtype != kind or list(found.shape) != shape:
                raise ValueError(
                    f"Index: '{name}' must be {kind} {shape} (got {found.dtype} "
                    f"{list(found.shape)})"
                )
        if not 0 <= int(lists.min()) <= int(lists.max()) < len(centroids):
            raise ValueError(f"Index: 'lists' must be numbers from 0 to {len(centroids) - 1}")
        if not 1 <= probes <= len(centroids):
            raise ValueError(
                f"Index: 'probes' must be from 1 to {len(centroids)}, the lists (got {probes})"
            )
        self.vectors, self.centroids, self.lists, self.probes = vectors, centroids, lists, probes
        coarse = faiss.IndexFlatIP(vectors.size(1))
        coarse.add(centroids.numpy())
        self._index = faiss.IndexIVFFlat(
            coarse, vectors.size(1), len(centroids), faiss.METRIC_INNER_PRODUCT
        )
        self._index.is_trained = True
        ids = torch.arange(len(vectors))
        held = vectors.contiguous()
        self._index.add_core(
            len(vectors), *map(faiss.swig_ptr, (held.numpy(), ids.numpy(), lists.numpy()))
        )
        self._parameters = faiss.SearchParametersIVF(nprobe=probes)
        self._index.nprobe = probes

    def __reduce__(self) -> tuple[type[Index], tuple[Tensor, Tensor, Tensor, int]]:
        """Copied and pickled as what it is made of: faiss's own memory cannot be."""
        return Index, (self.vectors, self.centroids, self.lists, self.probes)

    def __len__(self) -> int:
        """Number of items V."""
        return len(self.vectors)

    @classmethod
    def build(
        cls,
        vectors: Tensor,
        queries: Tensor | None = None,
        k: int = 20,
        recall: float = 0.98,
        log_sums: bool = False,
    ) -> tuple[Index, dict[str, Any]]:
        """Make an index with at least a given recall.

        Args:
            vectors: Item vectors, float32 [V, d].
            queries: Session vectors that recall is measured with, float32 [Q, d]; held out from
                training, for it is theirs that will come. (default: item vectors, drawn)
            k: Of how many best items recall is the share that is found. (default: 20)
            recall: The least mean recall. (default: 0.98)
            log_sums: Whether the sums of a mixture's softmax are measured, too. (default: False)

        Returns:
            The index, and for a manifest: ``lists``, ``probes``, ``k``, ``recall``, ``queries``
            (how many) and ``queried_with`` (``"sessions"`` or ``"items"``), and with ``log_sums``
            ``log_sum_off``: how far the logarithms of sums are off, the mean and the greatest.

        Raises:
            ImportError: If faiss is not installed.
            ValueError: If no less than a quarter of the lists has this recall: such vectors are
                not in clusters, and exact search is as fast. If the logarithms of sums are off by
                more than 0.05 on average.
        """
        generator = torch.Generator().manual_seed(0)
        given = vectors if queries is None else queries
        asked = given[torch.randperm(len(given), generator=generator)[:_QUERIES]]
        centroids, lists = _cluster(vectors)
        exact = best_of_products(asked, vectors, k)[1]
        probes, found = 1, 0.0
        while probes <= len(centroids) // _MOST:
            index = cls(vectors, centroids, lists, probes)
            found = _recall(index._search(asked, k)[1], exact)
            if found >= recall:
                break
            probes *= 2
        else:
            raise ValueError(
                f"an index of these {len(vectors)} items has no recall@{k} of {recall} with a "
                f"quarter of its {len(centroids)} lists (got {found:.3f}): search them exactly"
            )
        facts: dict[str, Any] = {
            "lists": len(centroids),
            "probes": probes,
            "k": k,
            "recall": found,
            "queries": len(asked),
            "queried_with": "items" if queries is None else "sessions",
        }
        if log_sums:
            some = asked[:_SUMS]
            exact_sums = torch.cat(
                [log_sum(each @ vectors.T) for each in torch.split(some, _AT_ONCE)]
            )
            off = (index.best_and_log_sum(some, k)[2] - exact_sums).abs()
            facts["log_sum_off"] = [float(off.mean()), float(off.max())]
            if not facts["log_sum_off"][0] <= _OFF:
                raise ValueError(
                    f"an index of these {len(vectors)} items does not give the softmax's sums: "
                    f"their logarithms are off by {facts['log_sum_off'][0]:.2g} on average "
                    f"(expected at most {_OFF}): search them exactly"
                )
        return index, facts

    @torch.no_grad()
    def best(self, sessions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k items with the greatest inner products, of the lists looked into.

        Args:
            sessions: Session vectors, float32 [B, d].
            k: How many, from 1 to V.

        Returns:
            Products, float32, and items, int64, best first, [B, k] both. A session whose lists
            hold fewer than k items is searched exactly.

        Raises:
            ValueError: If k is out of its range.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"Index: k must be from 1 to {len(self)} (got {k})")
        values, items = self._search(sessions, k)
        short = (items < 0).any(dim=1)
        if short.any():
            values[short], items[short] = best_of_products(sessions[short], self.vectors, k)
        return values, items

    @torch.no_grad()
    def best_and_log_sum(
        self, sessions: Tensor, k: int, barred: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""The k items with the greatest inner products, and the logarithm of a softmax's sum.

        Args:
            sessions: Session vectors, float32 [B, d].
            k: How many, from 1 to V.
            barred: Sessions and items [P] each that do not count in the sums, if their lists are
                looked into; they may be among the best. (default: none)

        Returns:
            Products and items as :meth:`best` has them, and estimates of the logarithms of
            :math:`\sum_i \exp(s^\top v_i)`, float32 [B].

        Raises:
            ValueError: If k is out of its range.
        """
        values, items = self.best(sessions, k)
        near = (sessions @ self.centroids.T).topk(self.probes, sorted=False).indices
        asked = sessions.contiguous().numpy()
        ends, *scored = _ivf_tools().range_search_preassigned(
            self._index, asked, -math.inf, near.numpy()
        )
        products, found = map(torch.from_numpy, scored)
        counts = torch.from_numpy(ends.astype("int64")).diff()
        greatest = torch.segment_reduce(products, "max", lengths=counts).unsqueeze(1)
        if barred is not None:
            there = (barred[1] >= 0) & (barred[1] < len(self))  # others have no vector
            keys = (barred[0] * len(self) + barred[1])[there]
            session = torch.arange(len(sessions)).repeat_interleave(counts)
            gone = torch.isin(session * len(self) + found, keys)
            products.masked_fill_(gone, -torch.inf)
        powers = pad_sequence(
            [*torch.split(products, counts.tolist())], batch_first=True, padding_value=-torch.inf
        )
        sums = LogSums(len(sessions), powers.size(1) + len(self.centroids))
        sums.add_(powers.mul_(LOG2_E))
        of_lists = self._moments(sessions, greatest).scatter_(1, near, -torch.inf)
        sums.add_(of_lists.mul_(LOG2_E))
        return values, items, sums.value()

    @cached_property
    def _lists(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Directions [d, d], and of each list the mean, the variances in them and log n."""
        count = self.lists.bincount(minlength=len(self.centroids)).float()
        least = count.clamp(min=1).unsqueeze(1)
        means = torch.zeros_like(self.centroids).index_add_(0, self.lists, self.vectors) / least
        apart = self.vectors - means[self.lists]
        directions = torch.linalg.eigh(apart.T @ apart)[1]
        squares = (apart @ directions).square_()
        variances = torch.zeros_like(self.centroids).index_add_(0, self.lists, squares) / least
        return directions, means, variances, count.log()

    def _moments(self, sessions: Tensor, greatest: Tensor) -> Tensor:
        """Estimated logarithm of the sum of every list's exponentials [B, C].

        Args:
            sessions: Session vectors [B, d].
            greatest: The greatest product of each that is known [B, 1]: those of the lists are
                taken for none greater.
        """
        directions, means, variances, logs = self._lists
        own = (sessions @ directions).square()
        found = (sessions @ means.T).addmm_(own, variances.T, alpha=0.5)
        # Without any product, because the lists looked into are empty, there is no limit.
        return found.minimum(greatest.masked_fill(greatest.isinf(), torch.inf)).add_(logs)

    def _search(self, sessions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The best items of the lists searched, -1 if they hold too few."""
        asked = sessions.detach().contiguous().numpy()
        values, items = self._index.search(asked, k, params=self._parameters)
        return torch.from_numpy(values), torch.from_numpy(items)

    def extend(self, vectors: Tensor) -> Index:
        """An index with more items at the end, each in the list of its nearest centroid.

        Args:
            vectors: The vectors of all items, those of this index first.
        """
        new = vectors[len(self) :]
        lists = torch.cdist(new, self.centroids).argmin(dim=1)
        return Index(vectors, self.centroids, torch.cat([self.lists, lists]), self.probes)

    def save(self, path: str | Path) -> None:
        """Write centroids, lists and probes; the item vectors are saved elsewhere."""
        probes = torch.tensor(self.probes)
        save_file({"centroids": self.centroids, "lists": self.lists, "probes": probes}, path)

    @classmethod
    def load(cls, path: str | Path, vectors: Tensor, data: bytes | None = None) -> Index:
        """Open an index.

        Args:
            path: The file.
            vectors: The item vectors that it was made of, float32 [V, d].
            data: Content of the file, if it has been read. (default: None, it is read)

        Raises:
            ImportError: If faiss is not installed.
            ValueError: If the file is damaged, or an index of other items.
        """
        try:
            # Not mapped into memory: the file may be replaced meanwhile.
            held = load(Path(path).read_bytes() if data is None else data)
            return cls(vectors, held["centroids"], held["lists"], int(held["probes"]))
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{path} is no index of these {len(vectors)} items: {error}"
            ) from error


def _cluster(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Centroids [C, d] by k-means, and the nearest one of each item [V]."""
    faiss = _faiss()
    count = max(1, min(len(vectors), round(_LISTS * len(vectors) ** 0.5)))
    kmeans = faiss.Kmeans(
        vectors.size(1),
        count,
        niter=10,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=_POINTS,
    )
    kmeans.train(vectors.contiguous().numpy())
    _, lists = kmeans.index.search(vectors.contiguous().numpy(), 1)
    return torch.from_numpy(kmeans.centroids), torch.from_numpy(lists).squeeze(1)


def _recall(found: Tensor, exact: Tensor) -> float:
    """Share of the exact items [B, k] that were found [B, k]."""
    hits = (found.unsqueeze(2) == exact.unsqueeze(1)).any(dim=2)
    return float(hits.double().mean())


def _ivf_tools() -> Any:
    from faiss.contrib import ivf_tools

    return ivf_tools


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(f"an index needs faiss: {pip_install('index')}") from error
    return faiss
