"""Overrides on the command line, and what only Hydra's internals have: imported here alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.utils import _run_hydra as run_hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString

__all__ = [
    "FileConfigSource",
    "get_args_parser",
    "has_option",
    "in_quotes",
    "parse_overrides",
    "run_hydra",
]


def parse_overrides(overrides: Sequence[str], conf: Path) -> list[Override]:
    """Parse overrides so that ``glob(*)`` iterates over the options of its group.

    Args:
        overrides: As they stand on the command line.
        conf: The folder of the configurations.

    Raises:
        HydraException: If one is no override.
    """
    parsed: list[Override] = OverridesParser.create(_loader(conf)).parse_overrides(list(overrides))
    return parsed


def has_option(group: str, name: str, conf: Path) -> bool:
    """Whether a group has an option, here or in a package that adds it.

    Args:
        group: Such as ``"model"``.
        name: Such as ``"srgnn"``.
        conf: The folder of the configurations.
    """
    return _loader(conf).repository.config_exists(f"{group}/{name}")


def _loader(conf: Path) -> ConfigLoaderImpl:
    return ConfigLoaderImpl(create_config_search_path(f"file://{conf}"))


def in_quotes(text: str) -> str:
    """Quote any text for Hydra's grammar."""
    return str(QuotedString(text, Quote.single).with_quotes())
