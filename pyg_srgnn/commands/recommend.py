"""srgnn-recommend: the next items of one session of raw ids, or of a file of sessions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.command_line import name_runs
from pyg_srgnn.commands.validate import checking_keys
from pyg_srgnn.utils.arguments import Checks
from pyg_srgnn.utils.imports import gc_paused

if TYPE_CHECKING:
    from pyg_srgnn.inference.rules import Rules


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
        keys = rf"(?<![\w/.-])({'|'.join(map(re.escape, here))})\b"  # and no part of a path
        raise ValueError(re.sub(keys, lambda key: here[key[0]], str(error))) from error


def _are_ids(check: Checks, name: str, value: Any) -> bool:
    fits = isinstance(value, list) and all(type(one) in (int, str) for one in value)
    return check.that(fits or value is None, name, "a list of raw item ids, or None", value)


def _rules(keys: Mapping[str, Any], whole: bool = False) -> Rules:
    """The rules of a configuration.

    Args:
        keys: Its keys.
        whole: Whether the catalogue's ids are whole numbers.

    Raises:
        ArgumentError: If one is not allowed.
    """
    from pyg_srgnn.inference.rules import Rules

    names = [one.name for one in fields(Rules)]
    given: dict[str, Any] = {name: keys[name] for name in names if keys[name] is not None}
    for name in {"allow", "deny"} & given.keys():
        given[name] = given_ids(given[name], whole)
    return Rules(**given)


def validate(config: DictConfig) -> None:
    """Validate the configuration of this command.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    with checking_keys(config) as (check, keys):
        items, input = keys["items"], keys["input"]
        check.text("checkpoint", keys["checkpoint"])
        file = isinstance(items, str) and (
            items == "-" or (items.startswith("@") and len(items) > 1)
        )
        ids = isinstance(items, list) and all(type(one) in (int, str) for one in items)
        expected = (
            "a list of raw item ids, such as [17,4] or 'items=[red shoe,\"cap, blue\"]' in the "
            "shell's quotes; one id per line, @FILE or - (standard input); or None"
        )
        if check.that(ids or file or items is None, "items", expected, items):
            expected = "a session, or None with input=FILE, which has sessions"
            check.that((items is None) != (input is None), "items", expected, items)
        if check.text("input", input, optional=True):
            both = (input is None) == (keys["output"] is None)
            check.that(both, "output", "a file with input=FILE, and None without", keys["output"])
        check.text("output", keys["output"], optional=True)
        if _are_ids(check, "earlier", keys["earlier"]):
            fits = keys["earlier"] is None or input is None
            check.that(fits, "earlier", "None with input=FILE", keys["earlier"])
        check.whole("k", keys["k"], 1)
        if _are_ids(check, "allow", keys["allow"]) and _are_ids(check, "deny", keys["deny"]):
            _rules(keys)
        check.text("attributes", keys["attributes"], optional=True)
        for name, value in keys["log"].items() if input is None else ():
            check.that(value is None, f"log.{name}", "None without input=FILE, a click log", value)


@application("recommend", kept=_kept)
def main(config: DictConfig) -> None:
    """Print the best items with their scores, or write those of a file of sessions."""
    with gc_paused():
        from pyg_srgnn.inference.answer import unknown_messages
        from pyg_srgnn.inference.clicks import Clicks
        from pyg_srgnn.inference.recommender import Recommender, load_trained

    validate(config)
    name_runs(config, "checkpoint")
    trained = load_trained(config.checkpoint)
    recommender = Recommender.of(trained)
    whole = isinstance(recommender.vocabulary.ids[0], int)
    rules = _rules(OmegaConf.to_container(config, resolve=True), whole)  # type: ignore[arg-type]
    key = trained.key
    if config.attributes is not None:
        recommender.set_attributes(config.attributes)
        changed = Path(config.attributes).stat()
        key += f" {config.attributes} {changed.st_size} {changed.st_mtime_ns}"
    if config.input is not None:
        with gc_paused():
            from pyg_srgnn.clicklog.spec import Preparation
            from pyg_srgnn.commands.recommend_file import recommend_file

        log = OmegaConf.to_container(config.log, resolve=True)
        assert isinstance(log, dict)
        with _naming_keys(config):
            count = recommend_file(
                recommender,
                config.input,
                config.output,
                config.k,
                rules,
                Preparation.from_dict(trained.preparation or {}, f"checkpoint={trained.path}"),
                key,
                new_log={str(key): value for key, value in log.items() if value is not None},
            )
        print(f"{count:,} sessions: {config.output}")
        return
    items = given_ids(config["items"], whole)
    session = Clicks(items, earlier=given_ids(config.earlier or [], whole))
    (answer,) = answers = recommender.answer([session], config.k, [rules])
    for message in [*unknown_messages(answers), answer.reason]:
        if message is not None:
            print(f"warning: {message}", file=sys.stderr)
    width = max((len(str(item)) for item, _ in answer.items), default=0)
    for rank, (item, score) in enumerate(answer.items, 1):
        cold = "  cold" if item in answer.cold else ""
        print(f"{rank:>4}  {item!s:>{width}}  {score:.4f}{cold}")


def given_ids(items: str | Sequence[int | str], whole: bool) -> list[int | str]:
    """The ids of ``items``, of the catalogue's type where they can be.

    Args:
        items: Ids; or ``@FILE`` or ``-``, standard input, with one id per line.
        whole: Whether the catalogue's ids are whole numbers; texts otherwise.

    Raises:
        ValueError: If the file is no text.
        OSError: If it cannot be read.
    """
    ids = _lines(items) if isinstance(items, str) else items
    if not whole:
        return [str(raw) for raw in ids]
    # "0017" is not the item 17.
    numbers = [re.fullmatch(r"0|-?[1-9]\d*", str(raw), re.ASCII) for raw in ids]
    return [int(raw) if number else raw for raw, number in zip(ids, numbers, strict=True)]


def _lines(source: str) -> list[str]:
    file = Path(source[1:]).expanduser()
    try:
        with nullcontext(sys.stdin) if source == "-" else file.open(encoding="utf-8") as lines:
            ids = [line.rstrip("\n") for line in lines]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"items={source}: expected text in UTF-8, one id per line ({error})"
        ) from error
    if ids:
        ids[0] = ids[0].removeprefix("\ufeff")
    return [raw for raw in ids if raw.strip()]


if __name__ == "__main__":
    main()
