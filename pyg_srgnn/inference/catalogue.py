r"""Finds the k best inner products with a large catalogue exactly, reading most of it as bytes.

A product of vectors that were rounded to bytes is off by no more than the Cauchy-Schwarz
inequality allows. With an item :math:`v = q + e` and a session :math:`s = p + f`, rounded to
:math:`q` and :math:`p`,

.. math:: |s^\top v - p^\top q| = |s^\top e + f^\top q| \le \|s\| \|e\| + \|f\| \|q\|.

So the greatest rounded product of a group of items gives a bound above all that are in it. Groups
are taken by their bounds, greatest first, and their items multiplied in float32, until the next
bound lies below the k-th product that was found: no other item can be among the k best.

The same inequality bounds the logarithm of a softmax's sum, which a mixture of probabilities needs:
where no product is off by more than :math:`\delta`, every term of
:math:`\sum_i \exp(s^\top v_i)` lies within a factor of :math:`e^{\delta}` of the rounded one, and
so does the sum. Errors of the items have both signs and mostly cancel out.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from pyg_srgnn.functional.log_sums import LOG2_E, LogSums
from pyg_srgnn.functional.products import products_with
from pyg_srgnn.functional.topk import best_of_products, best_of_scores
from pyg_srgnn.inference.half_products import HalfProducts, half_is_there

PRECISIONS = ("float32", "bfloat16", "float16", "int8")

_GROUP = 8  # items that share a scale and a bound
_LANES = 128  # groups of a block, side by side: the first items of all, the second ones, …
_BLOCK = _GROUP * _LANES
_ROUNDED = 16 * _BLOCK  # items at once
_SESSIONS = 32  # multiplied at once
_PRODUCTS = 2**19  # rounded ones held at once: what the processor's cache holds
FEWEST = 20_000
"""Items; of fewer, all products are taken as fast."""

_ROUNDING = 1e-5  # of the logarithm of a sum of exponentials, taken in float32
_FIRST, _WIDEST = 2, 4  # times k: groups that are looked into; what needs more goes over all items


class Catalogue:
    """All items' vectors, and their k greatest inner products with sessions' vectors.

    All precisions find the same items as ``"float32"``, up to products that are equal within the
    rounding of float32, and return products taken in float32. They cost a copy of the vectors in a
    quarter or half of their bytes. Any number of threads may ask at once.

    Args:
        vectors: Item vectors, float32 [V, d]; kept, not copied.
        precision: Type of most of the products, ``"float32"`` in place of one that is not there:
            ``"bfloat16"``; ``"int8"``, the fastest on a processor with 8-bit dot products, and not
            there on one whose 8-bit products are cut off; ``"float16"``, where torch has FBGEMM,
            in half of the memory that is read. (default: ``"float32"``)

    Raises:
        ValueError: If the precision is unknown, or the vectors are not finite float32 [V, d].
    """

    def __init__(self, vectors: Tensor, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            expected = f"one of {', '.join(PRECISIONS)} (got {precision!r})"
            raise ValueError(f"Catalogue: 'precision' must be {expected}")
        if vectors.dim() != 2 or vectors.dtype != torch.float32 or not len(vectors):
            raise ValueError(
                f"Catalogue: 'vectors' must be float32 [V, d] with V >= 1 "
                f"(got {str(vectors.dtype).removeprefix('torch.')} {list(vectors.shape)})"
            )
        if not vectors.isfinite().all():
            raise ValueError("Catalogue: 'vectors' must be finite")
        if not is_there(precision, vectors.size(1)):
            precision = "float32"
        self.vectors = vectors
        self.precision = precision
        if precision != "float32":
            self._round()

    def __len__(self) -> int:
        """Number of items V."""
        return len(self.vectors)

    @torch.no_grad()
    def best(self, sessions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k items with the greatest inner products.

        Args:
            sessions: Session vectors, float32 [B, d].
            k: How many, from 1 to V.

        Returns:
            Products, float32, and items, int64, best first, [B, k] both. The order of equal
            products is open.

        Raises:
            ValueError: If k is out of its range.
        """
        self._check(k)
        if self._is_plain or not self._has_groups(k) or not len(sessions):
            return best_of_products(sessions, self.vectors, k)
        found = [self._best(some, k) for some in torch.split(sessions, _SESSIONS)]
        return torch.cat([of[0] for of in found]), torch.cat([of[1] for of in found])

    @torch.no_grad()
    def best_and_log_sum(
        self, sessions: Tensor, k: int, barred: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""The k items with the greatest inner products, and the logarithm of a softmax's sum.

        Both come of one pass over the rounded vectors, but for a k that goes over all items. The
        logarithm of :math:`\sum_i \exp(s^\top v_i)` is off by :meth:`log_sum_bound` at most. It
        is the same whatever k: scores of a session do not depend on what others of a batch want.

        Args:
            sessions: Session vectors, float32 [B, d].
            k: How many, from 1 to V.
            barred: Sessions and items [P] each that do not count in the sums; they may be among the
                best. (default: none)

        Returns:
            Products and items as :meth:`best` has them, and the logarithms, float32 [B].

        Raises:
            ValueError: If k is out of its range.
        """
        self._check(k)
        found = []
        for start in range(0, len(sessions), _SESSIONS):
            some, own = sessions[start : start + _SESSIONS], None
            if barred is not None:
                there = (barred[0] >= start) & (barred[0] < start + len(some))
                own = barred[0][there] - start, barred[1][there]
            sums = LogSums(len(some), len(self), own)
            if self._is_plain:
                scores = self._products(some)
                best = best_of_scores(scores, k)
                sums.add_(scores.mul_(LOG2_E))
            elif not self._has_groups(k):
                self._bounds(some, sums)
                best = best_of_products(some, self.vectors, k)
            else:
                best = self._best(some, k, sums)
            found.append((*best, sums.value()))
        if not found:
            return *self.best(sessions, k), sessions.new_empty(0)
        values, items, logs = map(torch.cat, zip(*found, strict=True))
        return values, items, logs

    def log_sum_bound(self, sessions: Tensor) -> Tensor:
        r"""How far the logarithms of :meth:`best_and_log_sum` may be from exact ones [B].

        It is the greatest :math:`\|s\| \|e\| + \|f\| \|q\|` of the items, see above, and the
        rounding of float32.

        Args:
            sessions: Session vectors, float32 [B, d].
        """
        lengths: Tensor = sessions.norm(dim=1)
        if self.precision == "float32":
            rounding = sessions.size(1) * 2**-23 * self.vectors.norm(dim=1).max()
            return lengths.mul_(rounding).add_(_ROUNDING)
        bound = lengths.mul_(self._errors.max()).add_(_ROUNDING)
        if self.precision == "float16":
            return bound
        rounded, scale = self._rounded(sessions, (1,))
        back = rounded.float() * scale
        greatest = self._lengths.max()
        bound += (sessions - back).norm(dim=1) * greatest
        if self.precision == "bfloat16":
            bound += back.norm(dim=1) * greatest * 2**-8
        return bound

    def _products(self, sessions: Tensor) -> Tensor:
        """Products with all items in float32 [B, V]."""
        return sessions @ self.vectors.T

    @property
    def _is_plain(self) -> bool:
        """Whether all products are taken in float32, whatever k."""
        return self.precision == "float32" or len(self) < FEWEST

    def _has_groups(self, k: int) -> bool:
        """Whether the groups that may hold the k best are few of all."""
        return len(self) >= 4 * _WIDEST * k * _GROUP

    def _check(self, k: int) -> None:
        if not 1 <= k <= len(self):
            raise ValueError(f"Catalogue: k must be from 1 to {len(self)} (got {k})")

    def _best(self, sessions: Tensor, k: int, sums: LogSums | None = None) -> tuple[Tensor, Tensor]:
        bounds, first, widest = self._bounds(sessions, sums), _FIRST * k, _WIDEST * k
        values, items = self._exact(sessions, best_of_scores(bounds, first)[1], k)
        # The k-th of some products is a bound as well: groups below it need not be looked into.
        needed = (bounds >= values[:, -1:]).sum(dim=1)
        if int(needed.max()) > first:
            rows = (needed > first).nonzero().squeeze(1)
            groups = best_of_scores(bounds[rows], widest)[1]
            values[rows], items[rows] = self._exact(sessions[rows], groups, k)
            rows = (needed >= widest).nonzero().squeeze(1)
            values[rows], items[rows] = best_of_products(sessions[rows], self.vectors, k)
        return values, items

    def _exact(self, sessions: Tensor, groups: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k best of all items in some groups [B, m], by products in float32."""
        start = torch.div(groups, _LANES, rounding_mode="floor") * _BLOCK + groups % _LANES
        items = (start.unsqueeze(2) + _LANES * torch.arange(_GROUP)).flatten(1)
        beyond = items >= len(self)
        items.clamp_(max=len(self) - 1)
        products = products_with(self.vectors, sessions, items)
        found = products.masked_fill_(beyond, -torch.inf).topk(k)
        return found.values, items.gather(1, found.indices)

    def _round(self) -> None:
        """Keep the rounded vectors, and of each group its scale and its bounds."""
        num_items, channels = self.vectors.shape
        parts, scales, lengths, errors = [], [], [], []
        for start in range(0, num_items, _ROUNDED):
            items = torch.arange(start, min(start + _ROUNDED, -(-num_items // _BLOCK) * _BLOCK))
            # The last block is filled up with the first item of each group.
            own = torch.div(items, _BLOCK, rounding_mode="floor") * _BLOCK + items % _LANES
            items = torch.where(items < num_items, items, own).clamp_(max=num_items - 1)
            group = self.vectors.detach()[items].view(-1, _GROUP, _LANES, channels)
            rounded, scale = self._rounded(group, (1, 3))
            back = rounded.float().mul_(scale)
            parts.append(rounded.flatten(0, 2))
            scales.append(scale.flatten())
            lengths.append(back.norm(dim=3).amax(dim=1).flatten())
            errors.append((group - back).norm(dim=3).amax(dim=1).flatten())
        if self.precision == "float16":
            self._half = HalfProducts(torch.cat(parts))
        else:
            self._vectors = torch.cat(parts)
        blocks, rest = divmod(num_items, _BLOCK)
        self._groups = blocks * _LANES + min(rest, _LANES)  # the others have no item
        self._scales, self._lengths = torch.cat(scales), torch.cat(lengths)
        # The sums of float32 are off as well, at most by d roundings of everything there is.
        self._errors = torch.cat(errors) + channels * 2**-23 * self._lengths

    def _rounded(self, vectors: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Vectors rounded to the precision, and the factor that takes them back."""
        greatest = vectors.abs().amax(dims, keepdim=True)
        if self.precision == "bfloat16":
            return vectors.bfloat16(), torch.ones_like(greatest)
        if self.precision == "float16":
            scale = (greatest / 2**10).clamp_(min=1e-30)  # far from the ends of its range
            return (vectors / scale).half(), scale
        scale = (greatest / 127).clamp_(min=1e-30)
        return (vectors / scale).round_().to(torch.int8), scale

    def _bounds(self, sessions: Tensor, sums: LogSums | None = None) -> Tensor:
        """Upper bounds of the products with the items of every group [B, groups]."""
        if self.precision == "float16":  # its products are of sessions as they are
            bounds = self._greatest_of_half(sessions, sums)
            bounds.addcmul_(sessions.norm(dim=1, keepdim=True), self._errors)
            return bounds[:, : self._groups]
        rounded, scale = self._rounded(sessions, (1,))
        off = (sessions - rounded.float() * scale).norm(dim=1, keepdim=True)
        bounds = self._greatest(rounded, scale, sums).mul_(scale).mul_(self._scales)
        if self.precision == "bfloat16":
            bounds += bounds.abs() * 2**-8  # the products are rounded once more
        bounds.addcmul_(sessions.norm(dim=1, keepdim=True), self._errors)
        return bounds.addcmul_(off, self._lengths)[:, : self._groups]

    def _greatest_of_half(self, sessions: Tensor, sums: LogSums | None) -> Tensor:
        """The greatest product of sessions with rounded items in every group [B, groups]."""
        greatest, start = [], 0
        for part in self._half(sessions):
            groups = part.view(len(part), -1, _GROUP, _LANES)
            groups *= self._scales[start // _GROUP :][: groups[0, :, 0].numel()].view(-1, 1, _LANES)
            greatest.append(groups.amax(dim=2))
            if sums is not None:
                sums.add_(part.mul_(LOG2_E), start)
            start += part.size(1)
        return torch.cat(greatest, dim=1).flatten(1)

    def _greatest(self, sessions: Tensor, scale: Tensor, sums: LogSums | None) -> Tensor:
        """The greatest product of rounded vectors in every group, as float32 [B, groups].

        Args:
            sessions: Rounded session vectors [B, d].
            scale: The factor that takes each back [B, 1].
            sums: What the exponentials of the products are added to, or None.
        """
        exact_integers = self.precision == "int8"
        multiply = torch._int_mm if exact_integers else torch.mm
        rows = len(sessions)
        # With few sessions the items are read fastest as columns, with more as rows.
        columns = rows < 8 or not exact_integers
        greatest = torch.empty(rows, len(self._vectors) // _BLOCK, _LANES)
        at_once = max(1, _PRODUCTS // (rows * _BLOCK))
        kind = torch.int32 if exact_integers else torch.bfloat16
        held = torch.empty(rows * at_once * _BLOCK, dtype=kind)
        powers = torch.empty(held.numel() if sums is not None else 0)
        scales = LOG2_E * self._scales.view(-1, _LANES)
        for start in range(0, greatest.size(1), at_once):
            part = self._vectors[start * _BLOCK : (start + at_once) * _BLOCK]
            products = held[: rows * len(part)]
            if columns:
                multiply(sessions, part.T, out=products.view(rows, -1))
                groups = products.view(rows, -1, _GROUP, _LANES)
                best = groups.amax(dim=2)
                factors = scale.view(-1, 1, 1, 1) * scales[start : start + at_once, None]
            else:
                multiply(part, sessions.T, out=products.view(-1, rows))
                groups = products.view(-1, _GROUP, _LANES, rows)
                best = groups.amax(dim=1).movedim(2, 0)
                factors = scales[start : start + at_once, None, :, None] * scale.view(-1)
            greatest[:, start : start + at_once] = best
            if sums is not None:
                of_groups = powers[: products.numel()].view_as(groups)
                torch.mul(groups, factors, out=of_groups)
                flat = of_groups.view(rows, -1) if columns else of_groups.view(-1, rows).T
                sums.add_(flat, start * _BLOCK)
        return greatest.flatten(1)


def is_there(precision: str, channels: int = 2) -> bool:
    """Whether this processor's products of vectors in a precision keep their bounds."""
    if precision == "int8":  # torch._int_mm of vectors of a single number is wrong
        return channels > 1 and _int8_is_exact()
    return precision != "float16" or half_is_there()


@cache
def _int8_is_exact() -> bool:
    """Whether sums of the greatest products of bytes are whole; old instructions cut them off."""
    for rows in (1, 32):  # which may be taken by other code
        session = torch.full((rows, 128), 127, dtype=torch.int8)
        items = torch.full((_BLOCK, 128), -127, dtype=torch.int8)
        for found in (torch._int_mm(session, items.T), torch._int_mm(items, session.T)):
            if not (found == -127 * 127 * 128).all():
                return False
    return True
