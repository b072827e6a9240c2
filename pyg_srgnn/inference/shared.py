"""Lays a trained model out in a file that several processes map into memory, one copy for all.

It is pickled, but for the memory of its tensors and arrays, which lies behind it in the file. What
is made of the vectors when a model is opened, such as those rounded to 8 bits, is there as well.
The file is for processes of one service, in a folder of their own: whoever can write to it can run
code in them.
"""

from __future__ import annotations

import io
import mmap
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALIGNED = 64  # bytes: a line of the processor's cache
_SIZES = np.dtype("<u8")


def write_shared(trained: Any, path: str | Path) -> None:
    """Lay out a model, such as :func:`~pyg_srgnn.inference.recommender.load_trained` opens.

    Args:
        trained: The model, with all that it consists of; its tensors are on the CPU.
        path: The file, which must not be there.

    Raises:
        OSError: If it cannot be written, as on a full disk.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = io.BytesIO()
    _Pickler(head, protocol=5, buffer_callback=buffers.append).dump(trained)
    parts = [head.getbuffer(), *(buffer.raw() for buffer in buffers)]
    sizes = np.array([len(parts), *map(len, parts)], _SIZES)
    with Path(path).open("xb") as file:
        file.write(sizes.tobytes())
        for part in parts:
            file.seek(-file.tell() % _ALIGNED, io.SEEK_CUR)
            file.write(part)


def map_shared(path: str | Path) -> Any:
    """Map a model that :func:`write_shared` laid out; what a process changes, it alone sees.

    The file may be deleted once it is mapped.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be read.
    """
    with Path(path).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    width = _SIZES.itemsize
    count = int(np.frombuffer(mapped[:width], _SIZES)[0])
    at, parts = (1 + count) * width, []
    for size in np.frombuffer(mapped[width:at], _SIZES).tolist():
        at += -at % _ALIGNED
        parts.append(mapped[at : at + size])
        at += size
    return pickle.loads(parts[0], buffers=parts[1:])


class _Pickler(pickle.Pickler):
    """Pickles tensors as views of arrays, whose memory :mod:`pickle` leaves out.

    Tensors that share their memory share it again.
    """

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self._held: dict[int, NDArray[np.uint8]] = {}

    def reducer_override(self, given: Any) -> Any:
        """The function that makes a tensor, and its arguments; of other things as usual."""
        if type(given) is not Tensor or given.layout != torch.strided:
            return NotImplemented
        memory = given.untyped_storage()
        held = self._held.get(memory.data_ptr())
        if held is None or held.nbytes < memory.nbytes():
            held = torch.empty(0, dtype=torch.uint8).set_(memory).numpy()
            self._held[memory.data_ptr()] = held
        return _view, (held, given.dtype, given.storage_offset(), given.size(), given.stride())


def _view(
    held: NDArray[np.uint8],
    dtype: torch.dtype,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
) -> Tensor:
    """A tensor in the memory of an array."""
    memory = torch.from_numpy(held).untyped_storage()
    return torch.empty(0, dtype=dtype).set_(memory, offset, size, stride)
