"""Options of the commands that Hydra does not configure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches


def parse_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Parse a command; an unknown option ends the process with status 2, and the nearest one.

    Args:
        parser: The command's parser.
        arguments: Of the command line; None for the process's.
    """
    found, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        from pyg_srgnn.commands.suggestions import did_you_mean

        word = unknown[0].partition("=")[0]
        near = get_close_matches(word, parser._option_string_actions, 1)
        parser.error(f"there is no {word}; {did_you_mean(near)}")
    return found
