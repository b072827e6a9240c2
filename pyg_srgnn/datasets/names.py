"""Names of generated items, ``colour material thing``, that tell of their hidden interests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_COLOURS = "red orange yellow green blue purple pink brown black white grey silver"
_MATERIALS = "wool cotton linen silk leather wood glass steel copper paper clay felt"
_THINGS = (
    "scarf hat bag lamp cup bowl plate vase chair table stool shelf box basket mirror frame clock "
    "candle cushion blanket towel curtain rug tray jug spoon brush belt purse toy"
)
_OWN_COLOURS, _OWN_MATERIALS = 4, 2  # of an interest
_NOISE = 0.1  # share of the words that tell nothing


def item_names(place: Tensor, arc: int, seed: int) -> list[str]:
    """Draw a name for every item.

    An interest has four colours and two materials of its own, and a thing for each arc of its ring:
    items that follow one another are often of the same thing. An item is named by the first
    interest that holds it; one word in ten, and every word of an item without an interest, is any
    one. Interests share words, and some names are those of two items.

    Args:
        place: Place of each item on the ring of each interest, or -1 [Z, V].
        arc: Places of an arc.
        seed: The same one gives the same names.

    Returns:
        The names, such as ``"red wool scarf"`` [V].
    """
    draw = np.random.default_rng([seed, 0, 1])
    num_interests, num_items = place.shape
    interest, known = (place >= 0).numpy().argmax(0), (place >= 0).numpy().any(0)
    on_ring = place.numpy()[interest, np.arange(num_items)]

    def words(text: str, choice: NDArray[np.int64]) -> list[str]:
        """Word ``choice`` [V] of those of the item's interest, which has them in its own order."""
        vocabulary = text.split()
        order = draw.random((num_interests, len(vocabulary))).argsort(1)
        told = order[interest, choice % len(vocabulary)]
        tells = known & (draw.random(num_items) >= _NOISE)
        chosen = np.where(tells, told, draw.integers(len(vocabulary), size=num_items))
        return [vocabulary[number] for number in chosen]

    colours = words(_COLOURS, draw.integers(_OWN_COLOURS, size=num_items))
    materials = words(_MATERIALS, draw.integers(_OWN_MATERIALS, size=num_items))
    things = words(_THINGS, on_ring // arc)
    return [" ".join(name) for name in zip(colours, materials, things, strict=True)]
