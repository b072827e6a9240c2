"""Raw ids on the command line: the texts that they are, where Hydra's grammar reads numbers."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pyg_srgnn.commands.paths import in_quotes
from pyg_srgnn.commands.suggestions import refusing

_ID = re.compile(
    r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^,\\])*?)\s*(?:,|$)""", re.DOTALL
)


def quoting_items(main: Callable[[], Any]) -> Callable[[], Any]:
    """Have a Hydra application take the ids of ``items=[…]`` as texts.

    Args:
        main: The application, which reads ``sys.argv``.
    """

    @functools.wraps(main)
    def quotes() -> Any:
        with refusing():
            sys.argv = [quoted(text) for text in sys.argv]
        return main()

    return quotes


def quoted(override: str) -> str:
    """An override with each id of ``items=[…]``, or the file of ``items=@…``, in quotes.

    Hydra reads ``1_000`` as 1000 and ``1e3`` as 1000.0, and stops at ``ü``. Ids in quotes or with
    a backslash are left to it.

    Raises:
        ValueError: If the list does not end; says how to quote it.
    """
    key, _, value = override.partition("=")
    if key != "items":
        return override
    if value.startswith("@"):
        return f"items={in_quotes(value)}"
    if not value.startswith("["):
        return override
    if not value.endswith("]"):
        raise ValueError(
            f"{override}: the list does not end; the shell splits at blanks and takes quotes away. "
            f"Quote it whole, as in 'items=[red shoe,\"cap, blue\"]', or give one id a line with "
            f"items=@FILE or items=- (standard input)"
        )
    ids = [found[1] for found in _ID.finditer(value[1:-1].strip()) if found[0]]
    if not all(ids) or any(raw[0] in "[{" for raw in ids):
        return override  # Hydra's own lists, and what is none
    return f"items=[{','.join(raw if _is_quoted(raw) else in_quotes(raw) for raw in ids)}]"


def _is_quoted(raw: str) -> bool:
    return (len(raw) > 1 and raw[0] in "'\"" and raw[-1] == raw[0]) or "\\" in raw


def given_ids(items: str | Sequence[int | str], whole: bool) -> list[int | str]:
    """The ids of ``items``, of the catalogue's type where they can be.

    Args:
        items: Ids; or ``@FILE`` or ``-``, standard input, with one id a line.
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
            f"items={source}: expected text in UTF-8, one id a line ({error})"
        ) from error
    if ids:
        ids[0] = ids[0].removeprefix("\ufeff")
    return [raw for raw in ids if raw.strip()]
