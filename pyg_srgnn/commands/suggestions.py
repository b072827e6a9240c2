"""Finds typing errors in a command before Hydra reads it, and suggests the keys that were meant."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict

from pyg_srgnn.commands.command_line import UNKNOWN
from pyg_srgnn.sweeps.overrides import has_option, in_quotes, parse_overrides

_NO_KEY = re.compile(r"Could not (?:override|delete from config\.) '([^']+)")
_THERE_ALREADY = re.compile(r"An item is already at '([^']+)'|Multiple values for ([^.]+)")
# A name of a mapping with letters that Hydra's grammar has not.
_NAME = re.compile(r"[{,]\s*([^'\"{}\[\],:]*[^\x00-\x7f'\"{}\[\],:][^'\"{}\[\],:]*):")
_ALIKE = 0.65  # of two keys that might be one; 1 means equal
_CLOSE = 0.2  # what is less alike than the best by more is not shown


@contextmanager
def refusing() -> Iterator[None]:
    """Report an error in one line, and exit with status 1."""
    try:
        yield
    except ValueError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def check_command(
    args: argparse.Namespace, folder: Path, name: str, conf: Path, config_name: str
) -> None:
    """Find typing errors by composing the configuration, for every kind of job of a sweep.

    Args:
        args: The command line, parsed by Hydra's parser.
        folder: Folder of the configuration to start from.
        name: Name of this configuration.
        conf: Folder of the application's configurations.
        config_name: Name of the application's configuration.

    Raises:
        ValueError: If a key, a choice or the form is wrong; suggests similar ones.
    """
    extra = []
    if args.config_dir is not None:
        extra.append(f"hydra.searchpath=['file://{Path(args.config_dir).absolute()}']")
    own = (folder, name) == (conf, config_name)
    if own and not args.overrides:
        return
    multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    jobs = _jobs(args.overrides, multirun, conf)
    for overrides in jobs:
        try:
            with initialize_config_dir(str(folder), version_base="1.3"):
                # Hydra's part has what a search varies.
                searches = multirun and any(text.startswith("search=") for text in overrides)
                config = compose(name, [*extra, *overrides], return_hydra_config=searches)
        except HydraException as error:
            groups = [text for text in overrides if _is_choice(text, conf)]
            message = _mistyped(error, folder, name, [*extra, *groups])
            where = f"{' '.join(groups)}: " if len(jobs) > 1 else ""
            raise ValueError(where + message) from error
        if searches:
            _check_search(config, conf)
            with open_dict(config):
                del config.hydra
        # Hydra itself refuses unknown keys, unless they are added or stand in another file.
        added = any(text.startswith(("+", "~")) for text in overrides)
        if (added or not own) and not (args.help or args.cfg or args.info):
            check_keys(config, conf, config_name)


def _check_search(config: DictConfig, conf: Path) -> None:
    """Refuse a search of keys that there are not: each trial would fail.

    Raises:
        ValueError: Names the keys, and the search that fits the model.
    """
    choices, known = config.hydra.runtime.choices, {*keys_of(OmegaConf.to_container(config))}
    varied = OmegaConf.select(config, "hydra.sweeper.params") or {}
    if lacking := [key for key in varied if key.startswith("model.") and key not in known]:
        model = choices["model"]
        fits = (conf / f"search/{model}.yaml").is_file()
        raise ValueError(
            f"search={choices['search']} varies {', '.join(lacking)}, which model={model} does not "
            f"have; {f'use search={model}' if fits else 'there is no search for this model'}"
        )


def check_keys(config: DictConfig, conf: Path, config_name: str) -> None:
    """Compare the keys of a configuration with those of the application.

    Hydra takes any key from a run's ``config.yaml``, and any that is added with ``+``.

    Args:
        config: The configuration.
        conf: Folder of the configurations.
        config_name: Name of the application's configuration.

    Raises:
        ValueError: If there are others, or some are missing; names each, and suggests similar ones.
    """
    values: Any = OmegaConf.to_container(config)
    groups = {group: below for group, below in values.items() if isinstance(below, dict)}
    names = ((group, below.get("name")) for group, below in groups.items())
    chosen = [f"{group}={name}" for group, name in names if name and has_option(group, name, conf)]
    if "windows" in values:  # of a window of a rolling evaluation
        chosen.append("evaluation=rolling")
    valid, found = known_keys(conf, config_name, chosen), set(keys_of(values))
    holders = {key.rpartition(".")[0] for key in valid}
    wrong = []
    for key in sorted(found - valid):
        above = key.rpartition(".")[0]
        if above and (above not in valid or above not in holders):
            continue  # reported above; or a user's dictionary, such as dataset.where
        if OmegaConf.select(config, key) is not None:  # null: of an earlier version
            near = nearest(key, valid - found) or nearest(key, valid)
            wrong.append(f"there is no key {key}; {did_you_mean(near)}")
    for key in sorted(valid - found):
        if key.rpartition(".")[0] in found | {""}:
            wrong.append(f"{key} is missing; +{key}=VALUE adds it")
    if wrong:
        several = "the configuration cannot be used\n  " + "\n  ".join(wrong)
        raise ValueError(wrong[0] if len(wrong) == 1 else several)


def nearest(word: str, valid: Iterable[str]) -> list[str]:
    """The keys, three at most, that may be meant by a mistyped one, the likeliest first.

    Their last parts are compared, and the groups before them where both have one: ``lr`` may mean
    ``optimizer.lr``.

    Args:
        word: The key as typed.
        valid: The keys that there are.
    """
    group, _, name = word.rpartition(".")

    def alike(key: str) -> float:
        its_group, _, its_name = key.rpartition(".")
        names = SequenceMatcher(None, name, its_name).ratio()
        if not group and its_group:
            return 0.95 * names
        return names * (0.8 + 0.2 * SequenceMatcher(None, group, its_group).ratio())

    ranked = {key: alike(key) for key in valid}
    least = max(_ALIKE, max(ranked.values(), default=0.0) - _CLOSE)
    near = [key for key, value in ranked.items() if value >= least]
    return sorted(near, key=lambda key: (-ranked[key], key))[:3]


def known_keys(
    conf: Path, config_name: str, choices: Sequence[str], hydra: bool = False
) -> set[str]:
    """All keys of a configuration, those that hold others as well.

    Args:
        conf: Folder of the configurations.
        config_name: Name of the configuration.
        choices: ``group=name`` of existing groups.
        hydra: Whether to include Hydra's keys. (default: False)
    """
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose(config_name, list(choices), return_hydra_config=hydra)
    return set(keys_of(OmegaConf.to_container(config)))


def keys_of(value: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of nested dictionaries, each before those below it."""
    if isinstance(value, dict):
        for name, below in value.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key
            yield from keys_of(below, key)


def did_you_mean(near: Sequence[str], lists: str = "--help") -> str:
    """The end of a message on something unknown."""
    where = f"{Path(sys.argv[0]).name} {lists} lists what there is"
    return f"did you mean {' or '.join(near)}? ({where})" if near else where


def _jobs(overrides: Sequence[str], multirun: bool, conf: Path) -> list[list[str]]:
    """The overrides of a command, or those of the jobs of a sweep that differ in their choices.

    Raises:
        ValueError: If one is no override.
    """
    jobs: list[list[str]] = []
    for place, text in enumerate(overrides):
        try:
            (override,) = parse_overrides([text], conf)
        except HydraException as error:
            raise ValueError(_malformed(overrides, place, error)) from error
        if not override.is_sweep_override():
            jobs.append([text])
        elif multirun:
            jobs.append(_values(override, conf))
        else:
            key, _, values = text.partition("=")
            raise ValueError(
                f"{text}: several values are a sweep, which -m starts; "
                f"a list is written as {key}=[{values}], a text with commas as \"{key}='{values}'\""
            )
    return [list(job) for job in product(*jobs)]


def _values(override: Override, conf: Path) -> list[str]:
    """The values of a group in a sweep, or one value of a key."""
    key = override.get_key_element()
    if not override.is_discrete_sweep():  # an interval
        return [f"{key}=0"]
    values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    return values if (conf / override.key_or_group).is_dir() else values[:1]


def _is_choice(override: str, conf: Path) -> bool:
    """Whether an override chooses an option of a group."""
    key = override.partition("=")[0]
    return "/" in key or (conf / key).is_dir()


def _malformed(words: Sequence[str], place: int, error: HydraException) -> str:
    """The error of a word of the command line that is no override."""
    word, before, after = (
        words[place],
        *(words[other] if 0 <= other < len(words) else "" for other in (place - 1, place + 1)),
    )
    if "=" in word[1:]:
        key, _, value = word.partition("=")
        return f"{word} cannot be read: {_unreadable(key, value, str(error))}"
    if before.endswith("="):
        meant = before + word
    elif word.startswith("="):
        meant = before + word + (after if word == "=" else "")
    elif after.startswith("="):
        meant = word + after + (words[place + 2] if words[place + 2 :] and after == "=" else "")
    else:
        meant = f"{word}={after}" if after and "=" not in after else f"{word}=VALUE"
    return f"{word}: a key is set by key=value, without blanks; did you mean {meant}?"


def _unreadable(key: str, value: str, error: str) -> str:
    """Why a value cannot be read, and how it can."""
    reason = " ".join(filter(None, map(str.strip, error.partition("\nSee http")[0].splitlines())))
    if not key.isascii():
        return "a key has letters of ASCII alone"
    if "LexerNoViable" in error and (character := UNKNOWN.search(value)):
        reason = f"Hydra reads {character[0]} in quotes alone"
    if name := _NAME.search(value):
        return (
            f"a name in braces, as {name[1]}, has letters of ASCII alone on the command line; in a "
            f"file it may have any: --config-dir (docs/rules.md)"
        )
    if value.startswith(("'", '"')):
        return "its quotes do not end where it ends; the shell takes some away"
    if value.startswith("["):
        return f"{reason}; a text in a list is quoted as in \"{key}=[one, 'a text']\""
    if value.startswith("{"):
        return f"{reason}; a text is quoted as in \"{key}={{name: 'a text'}}\""
    if "while evaluating" in error and "Unknown function" not in error:
        return reason
    return f'{reason}; a text is quoted as in "{key}={in_quotes(value)}"'


def _mistyped(error: HydraException, folder: Path, name: str, choices: Sequence[str]) -> str:
    """The error of a configuration that cannot be composed, with similar keys."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        near = [f"{group}={known}" for known in get_close_matches(option, error.options, 3)]
        hint = did_you_mean(near) if near else f"expected one of {', '.join(error.options)}"
        return f"there is no {group}={option}; {hint}"
    if found := _THERE_ALREADY.search(str(error)):
        key = found[1] or found[2]
        return f"{key} is there already; it is set without +, by {key}=VALUE"
    if found := _NO_KEY.search(str(error)):
        hydra = found[1].startswith("hydra.")
        near = nearest(found[1], known_keys(folder, name, choices, hydra))
        lists = "--cfg hydra" if hydra else "--help"
        return f"there is no key {found[1]}; {did_you_mean(near, lists)}"
    return str(error)
