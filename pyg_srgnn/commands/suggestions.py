"""What a mistyped key or choice was meant to be."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

_KEY = re.compile(r"Could not (?:override|delete from config\.) '([^'@]+)")
_ALIKE = 0.65  # of two keys that might be one; 1 means equal
_CLOSE = 0.2  # what is less alike than the best by more is not shown


def suggesting(main: Callable[[], Any], conf: Path, config_name: str) -> Callable[[], Any]:
    """Have a Hydra application say what is near a key or a choice that does not exist.

    It stands below Hydra's own message; the exit status stays Hydra's.

    Args:
        main: The application.
        conf: The folder of the configurations.
        config_name: The application's own one.
    """

    @functools.wraps(main)
    def suggests() -> Any:
        try:
            return main()
        except SystemExit as end:
            # Hydra exits where it has caught an error and told it.
            if isinstance(end.__context__, HydraException):
                hint = _hint(end.__context__, conf, config_name)
                if hint:
                    print(f"{Path(sys.argv[0]).name}: {hint}", file=sys.stderr)
            raise

    return suggests


def check_keys(config: DictConfig, conf: Path, config_name: str) -> None:
    """Hold the keys of a configuration against those of the application.

    Hydra takes any key from a run's ``config.yaml``, and any that is added with ``+``.

    Args:
        config: What Hydra composed.
        conf: The folder of the configurations.
        config_name: The application's own one.

    Raises:
        ValueError: If there are others, or some are missing; names each, and what is near it.
    """
    values: Any = OmegaConf.to_container(config)
    groups = {group: below for group, below in values.items() if isinstance(below, dict)}
    names = [f"{group}={below.get('name')}" for group, below in groups.items()]
    valid, found = known_keys(conf, config_name, names), set(keys_of(values))
    holders = {key.rpartition(".")[0] for key in valid}
    script, wrong = Path(sys.argv[0]).name, []
    for key in sorted(found - valid):
        above = key.rpartition(".")[0]
        if above and (above not in valid or above not in holders):
            continue  # told of above; or a dictionary of the user's, such as dataset.where
        if OmegaConf.select(config, key) is not None:  # null: no longer a key, and did nothing
            near = nearest(key, valid - found) or nearest(key, valid)
            wrong.append(f"there is no key {key}; {did_you_mean(near, script)}")
    for key in sorted(valid - found):
        if key.rpartition(".")[0] in found | {""}:
            wrong.append(f"{key} is missing; +{key}=VALUE adds it")
    if wrong:
        raise ValueError("the configuration cannot be used\n  " + "\n  ".join(wrong))


def nearest(word: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """The keys that a mistyped one may stand for, the likeliest first.

    Their last parts are compared, and the groups before them where both have one: ``lr`` may
    stand for ``optimizer.lr``.

    Args:
        word: The key as typed.
        valid: The keys that there are.
        count: How many to return at most. (default: 3)
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
    return sorted(near, key=lambda key: (-ranked[key], key))[:count]


def known_keys(conf: Path, config_name: str, choices: Sequence[str]) -> set[str]:
    """All keys of a configuration, those that hold others as well.

    Args:
        conf: The folder of the configurations.
        config_name: Which one of them.
        choices: ``group=name``; others than the groups' names are left out.
    """
    chosen = []
    for choice in choices:
        group, _, name = choice.partition("=")
        if name and (conf / group / f"{name}.yaml").is_file():
            chosen.append(choice)
    running = GlobalHydra.instance().hydra  # there is one of a kind, and a job has its own
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = compose(config_name, chosen)
    finally:
        GlobalHydra.instance().hydra = running
    return set(keys_of(OmegaConf.to_container(config)))


def keys_of(value: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of nested dictionaries, each before those below it."""
    if isinstance(value, dict):
        for name, below in value.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key
            yield from keys_of(below, key)


def did_you_mean(near: Sequence[str], script: str) -> str:
    """The end of a message on what does not exist."""
    return f"did you mean {' or '.join(near)}?" if near else f"{script} --help lists what there is"


def _hint(error: HydraException, conf: Path, config_name: str) -> str | None:
    script = Path(sys.argv[0]).name
    if isinstance(error, MissingConfigException):
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        if not error.options:
            return None
        near = [f"{group}={option}" for option in get_close_matches(name, error.options, 3)]
        return f"there is no {group}={name}; {did_you_mean(near, script)}"
    found = _KEY.search(str(error))
    if found is None:
        return None
    valid = known_keys(conf, config_name, get_args_parser().parse_args().overrides)
    if found[1].startswith("hydra."):
        valid = set(keys_of({"hydra": OmegaConf.to_container(OmegaConf.structured(HydraConf))}))
    near = nearest(found[1], valid)
    return f"there is no key {found[1]}; {did_you_mean(near, script)}"
