"""srgnn-recommend: the next items of one session of raw ids."""

from __future__ import annotations

import sys
import warnings

from omegaconf import DictConfig

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.checks import check
from pyg_srgnn.recommender import Recommender, UnknownItemWarning


@application("recommend")
def main(config: DictConfig) -> None:
    """Print the best items with their scores."""
    check(config)
    recommender = Recommender.load(config.checkpoint)
    items = list(config["items"])
    kinds = {type(raw) for raw in recommender.vocabulary.ids}
    if kinds == {str}:  # the command line takes 17 for a number, this catalogue for a text
        items = [str(item) for item in items]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnknownItemWarning)
        (best,) = recommender.recommend([items], config.k)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    width = max(len(str(item)) for item, _ in best)
    for rank, (item, score) in enumerate(best, 1):
        print(f"{rank:>4}  {item!s:>{width}}  {score:.4f}")


if __name__ == "__main__":
    main()
