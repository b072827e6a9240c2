"""Chooses how a catalogue is searched, by a measurement on the processor that will search it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter, thread_time

import torch
from torch import Tensor

from pyg_srgnn.inference.block_catalogue import BlockCatalogue
from pyg_srgnn.inference.catalogue import FEWEST, PRECISIONS, Catalogue, is_there
from pyg_srgnn.inference.choice import AUTO, CHOICES, SESSIONS, WAYS, Choice

_MAKERS: dict[str, Callable[[Tensor], Catalogue]] = {
    **{name: partial(Catalogue, precision=name) for name in PRECISIONS},
    "float32_blocks": BlockCatalogue,
}

_SAMPLE = 2**16  # items that are measured, at most
_CACHE = 2**26  # bytes: more than what most processors' caches hold
_TURNS = 3
_HOPELESS = 4.0  # times as slow as the fastest: not measured any further
_SLOWER = 1.1  # times float32's time: more is no noise
_WORTH = 0.9  # of the time of a way that takes less memory

log = logging.getLogger(__name__)


@torch.no_grad()
def choose(
    vectors: Tensor, asked: str = AUTO, log_sums: bool = False, k: int = 20
) -> tuple[Catalogue, Choice]:
    """Make a catalogue that is searched in the way that is asked for, or in the fastest one.

    All ways find the same items. Each is timed with some of the items and drawn sessions, in some
    tenths of a second at most; one that is slower than float32 is never taken. Fewer than
    20,000 items are searched in float32 without a measurement.

    Args:
        vectors: Item vectors, float32 [V, d]; kept.
        asked: One of :data:`CHOICES`. (default: ``"auto"``)
        log_sums: Whether the sums of a mixture's softmax are asked for, too. (default: False)
        k: Best items of a search that is timed. (default: 20)

    Raises:
        ValueError: If there is no such choice; see also :class:`Catalogue`.
    """
    if asked not in CHOICES:
        raise ValueError(f"precision must be one of {', '.join(CHOICES)} (got {asked!r})")
    facts = {"asked": asked, "items": len(vectors), "threads": torch.get_num_threads()}
    if asked != AUTO or len(vectors) < FEWEST:
        catalogue = _MAKERS["float32" if asked == AUTO else asked](vectors)
        kept = asked if isinstance(catalogue, BlockCatalogue) else catalogue.precision
        return catalogue, Choice(kept, **facts)  # type: ignore[arg-type]
    sample = vectors[:: -(-len(vectors) // _SAMPLE)].contiguous()
    made = ways(sample)
    cold = len(sample) < len(vectors)
    times = measure(made, _sessions(sample), k, cold, log_sums)
    best = fastest(times)
    scale = 1e3 * len(vectors) / len(sample)
    choice = Choice(
        best,
        **facts,  # type: ignore[arg-type]
        milliseconds={name: tuple(scale * of for of in took) for name, took in times.items()},
    )
    log.debug("a catalogue is searched in %s", choice)
    return made[best] if len(sample) == len(vectors) else _MAKERS[best](vectors), choice


def ways(vectors: Tensor) -> dict[str, Catalogue]:
    """A catalogue for each way that this processor has, those that take the least memory first."""
    return {name: _MAKERS[name](vectors) for name in WAYS if is_there(name, vectors.size(1))}


def fastest(times: Mapping[str, tuple[float, ...]]) -> str:
    """The way that is taken.

    The fastest by the product of its times, of those that are slower than float32 for no number of
    sessions; or a slightly slower one that takes less memory.

    Args:
        times: Seconds for each number of sessions, by the way, those that take the least memory
            first; ``"float32"`` is one. One that was given up has fewer.
    """
    plain = times["float32"]
    costs = {
        name: torch.tensor(took).log().mean().exp().item()
        for name, took in times.items()
        if len(took) == len(plain)
        and all(own <= _SLOWER * usual for own, usual in zip(took, plain, strict=True))
    }
    least = min(costs.values())
    return next(name for name, cost in costs.items() if _WORTH * cost <= least)


def measure(
    made: Mapping[str, Catalogue], sessions: Tensor, k: int, cold: bool, log_sums: bool = False
) -> dict[str, tuple[float, ...]]:
    """Seconds of a search in each way, for each number of :data:`SESSIONS`.

    Args:
        made: The catalogues, by the way.
        sessions: Session vectors, at least as many as the greatest number [B, d].
        k: Best items that are searched for.
        cold: Whether the items are some of many, which no cache holds.
        log_sums: Whether softmaxes' sums are asked for, too. (default: False)
    """
    found: dict[str, tuple[float, ...]] = dict.fromkeys(made, ())
    going_on = list(made)
    for count in SESSIONS:
        took: dict[str, float] = {}
        for turn in range(1 + _TURNS):  # in turns: what else the machine does slows all
            for name in list(going_on):
                seconds = _seconds(made[name], sessions[:count], k, cold, log_sums)
                if turn == 0:  # buffers and kernels are made
                    continue
                took[name] = min(seconds, took.get(name, seconds))
                if name != "float32" and seconds > _HOPELESS * min(took.values()):
                    going_on.remove(name)
        for name, best in took.items():
            found[name] += (best,)
    return found


def _seconds(catalogue: Catalogue, sessions: Tensor, k: int, cold: bool, log_sums: bool) -> float:
    """Seconds of one search."""
    # Of a single thread, without the time in which others have the processor.
    clock = thread_time if torch.get_num_threads() == 1 else perf_counter
    if cold:
        torch.empty(_CACHE, dtype=torch.uint8).zero_()
    started = clock()
    (catalogue.best_and_log_sum if log_sums else catalogue.best)(sessions, k)
    return clock() - started


def _sessions(vectors: Tensor) -> Tensor:
    """Session vectors like those that will come: sums of two items' vectors."""
    drawn = torch.randint(
        len(vectors), (2, max(SESSIONS)), generator=torch.Generator().manual_seed(0)
    )
    return vectors[drawn].sum(dim=0)
