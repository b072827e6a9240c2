"""srgnn-recommend: the next items of one session of raw ids, or of a file of sessions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.items import given_ids, quoting_items
from pyg_srgnn.commands.paths import name_runs
from pyg_srgnn.utils.imports import gc_paused


def _kept(config: DictConfig) -> str:
    from pyg_srgnn.commands.recommend_file import kept

    return "nothing" if config.output is None else kept(config.output)


@contextmanager
def _naming_keys(config: DictConfig) -> Iterator[None]:
    """Name the keys of this command in errors, where those of a dataset have the same meaning."""
    try:
        yield
    except ValueError as error:
        here = {f"dataset.{name}": f"log.{name}" for name in config.log}
        here["dataset.path"] = "input"
        told = rf"(?<![\w/.-])({'|'.join(map(re.escape, here))})\b"  # and no part of a path
        raise ValueError(re.sub(told, lambda key: here[key[0]], str(error))) from error


@quoting_items
@application("recommend", kept=_kept)
def main(config: DictConfig) -> None:
    """Print the best items with their scores, or write those of a file of sessions."""
    with gc_paused():
        from pyg_srgnn.commands.checks import check
        from pyg_srgnn.inference.answer import unknown_messages
        from pyg_srgnn.inference.recommender import Recommender, load_trained

    check(config)
    name_runs(config, "checkpoint")
    trained = load_trained(config.checkpoint)
    recommender = Recommender.of(trained)
    if config.input is not None:
        with gc_paused():
            from pyg_srgnn.clicklog.prepare import Preparation
            from pyg_srgnn.commands.recommend_file import recommend_file

        log = OmegaConf.to_container(config.log, resolve=True)
        assert isinstance(log, dict)
        with _naming_keys(config):
            count = recommend_file(
                recommender,
                config.input,
                config.output,
                config.k,
                config.exclude_seen,
                Preparation.from_dict(trained.preparation or {}, f"checkpoint={trained.path}"),
                trained.key,
                new_log={str(key): value for key, value in log.items() if value is not None},
            )
        print(f"{count:,} sessions: {config.output}")
        return
    items = given_ids(config["items"], whole=isinstance(recommender.vocabulary.ids[0], int))
    (answer,) = answers = recommender.answer([items], config.k, config.exclude_seen)
    for message in unknown_messages(answers):
        print(f"warning: {message}", file=sys.stderr)
    width = max((len(str(item)) for item, _ in answer.items), default=0)
    for rank, (item, score) in enumerate(answer.items, 1):
        print(f"{rank:>4}  {item!s:>{width}}  {score:.4f}")


if __name__ == "__main__":
    main()
