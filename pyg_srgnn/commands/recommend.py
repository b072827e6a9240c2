"""srgnn-recommend: the next items of one session of raw ids, or of a file of sessions."""

from __future__ import annotations

import sys
import warnings
from dataclasses import fields

from omegaconf import DictConfig

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.items import given_ids, quoting_items
from pyg_srgnn.commands.paths import name_runs
from pyg_srgnn.imports import gc_paused


def _kept(config: DictConfig) -> str:
    from pyg_srgnn.batch import kept

    return "nothing" if config.output is None else kept(config.output)


@quoting_items
@application("recommend", kept=_kept)
def main(config: DictConfig) -> None:
    """Print the best items with their scores, or write those of a file of sessions."""
    with gc_paused():
        from pyg_srgnn.commands.checks import check
        from pyg_srgnn.recommender import Recommender, UnknownItemWarning, load_trained

    check(config)
    name_runs(config, "checkpoint")
    trained = load_trained(config.checkpoint)
    recommender = Recommender.of(trained)
    if config.input is not None:
        with gc_paused():
            from pyg_srgnn.batch import recommend_file
            from pyg_srgnn.data.preparation import Preparation

        known = {field.name for field in fields(Preparation)}
        of_log = trained.dataset if trained.dataset["name"] == "click_log" else {}
        rules = {key: value for key, value in of_log.items() if key in known}
        count = recommend_file(
            recommender,
            config.input,
            config.output,
            config.k,
            config.exclude_seen,
            Preparation(**rules),
            trained.key,
        )
        print(f"{count:,} sessions: {config.output}")
        return
    items = given_ids(config["items"], whole=isinstance(recommender.vocabulary.ids[0], int))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnknownItemWarning)
        (best,) = recommender.recommend([items], config.k, config.exclude_seen)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    width = max((len(str(item)) for item, _ in best), default=0)
    for rank, (item, score) in enumerate(best, 1):
        print(f"{rank:>4}  {item!s:>{width}}  {score:.4f}")


if __name__ == "__main__":
    main()
