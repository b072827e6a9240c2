"""Multiplies sessions with items that are kept in half precision, by FBGEMM.

Items are turned into float32 as they are read (F16C, which every processor with AVX2 has), so that
half of the bytes is read, and products and sums are those of float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

_AT_ONCE = 16 * 1024  # items: their products with some sessions stay in the processor's cache


class HalfProducts:
    """Item vectors in half precision, laid out for FBGEMM.

    Args:
        vectors: Item vectors, float16 [V, d]; they are copied.
    """

    def __init__(self, vectors: Tensor) -> None:
        self._parts: list[Any] = [
            torch.ops.quantized.linear_prepack_fp16(part.float(), None)
            for part in torch.split(vectors, _AT_ONCE)
        ]

    def __reduce__(self) -> tuple[type[HalfProducts], tuple[Tensor]]:
        """Copied and pickled as the vectors, which are laid out anew."""
        unpacked = [torch.ops.quantized.linear_unpack_fp16(part)[0] for part in self._parts]
        return HalfProducts, (torch.cat(unpacked).half(),)

    def __call__(self, sessions: Tensor) -> Iterator[Tensor]:
        """Products of sessions, float32 [B, d], with some items at a time, float32 [B, n] each."""
        for part in self._parts:
            yield torch.ops.quantized.linear_dynamic_fp16(sessions, part)


@cache
def half_is_there() -> bool:
    """Whether torch was built with FBGEMM, and it multiplies on this processor."""
    try:
        (found,) = HalfProducts(torch.ones(2, 2).half())(torch.ones(1, 2))
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return bool((found == 2).all())
