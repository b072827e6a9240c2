"""The command line in the form that Hydra reads."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.runs.find import find_run
from pyg_srgnn.sweeps.overrides import get_args_parser, in_quotes

_ID = re.compile(
    r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^,\\])*?)\s*(?:,|$)""", re.DOTALL
)
# The keys whose values are paths, or lists of them.
PATHS = {
    "add_items",
    "answers",
    "attributes",
    "challenger",
    "checkpoint",
    "dataset.mirror",
    "dataset.path",
    "dataset.root",
    "dataset.vocabulary",
    "distil",
    "encoder.model",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "input",
    "logger.tracking_uri",
    "model.members",
    "names",
    "output",
    "report",
    "rules",
    "text",
    "warm_start",
}
# The keys whose values are lists of raw ids.
_IDS = {"allow", "deny", "earlier", "items"}
# What Hydra reads only in quotes, and the parts of a value: those it reads, and plain texts.
UNKNOWN = re.compile(r"[^\w \t/\\+.$%*@?|()\[\]{},:=-]", re.ASCII)
_FUNCTION = r"[A-Za-z_][\w-]*\s*\("
_CHARS = r"[^()\[\]{},:=]*"
_PARTS = re.compile(
    rf"""\$\{{[^}}]*\}}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|{_FUNCTION}"""
    rf"""|(?P<plain>[^\s'"()\[\]{{}},:=]{_CHARS}(?:\({_CHARS}\){_CHARS})*)""",
    re.ASCII,
)


def read_command() -> None:
    """Put ``sys.argv`` in the form that Hydra reads: keys, their values in quotes, then options.

    A user may write options anywhere, and paths and ids without quotes.

    Raises:
        ValueError: If there are options that Hydra does not have, or a list of ids does not end.
    """
    known, unknown = get_args_parser().parse_known_intermixed_args()
    if unknown:
        key = unknown[0].lstrip("-")
        raise ValueError(
            f"there is no option {unknown[0]}; a key is set without dashes: "
            f"{key if '=' in key else f'{key}=VALUE'}"
        )
    options = sys.argv[:0:-1]
    for text in reversed(known.overrides):
        options.remove(text)
    multirun = known.multirun or "hydra.mode=MULTIRUN" in known.overrides
    overrides = [quoted(text, multirun) for text in known.overrides]
    sys.argv = [sys.argv[0], *overrides, *reversed(options)]


def quoted(override: str, multirun: bool) -> str:
    """Quote the value of an override if Hydra would not read it as the path or the text that it is.

    What exists is a path. With ``-m`` another list with commas is a sweep; without, it is a path,
    too, unless all of its parts exist: then Hydra's error shows how to write a list. Each id of
    ``items=[…]``, ``earlier=[…]``, ``allow=[…]`` and ``deny=[…]`` is a text: Hydra reads ``1_000``
    as 1000 and ``1e3`` as 1000.0, and stops at ``ü``. So it does in any other value, whose texts
    are quoted then, if there is one way to. Texts in quotes or with a backslash are left to it.

    Args:
        override: Such as ``checkpoint=runs/a=1,b=2``.
        multirun: Whether a sweep was asked for.

    Raises:
        ValueError: If the list of ids does not end; shows how to quote it.
    """
    key, _, value = override.partition("=")
    name = key.lstrip("+")
    if name in _IDS:
        return f"{key}={_quoted_ids(key, value)}"
    if not value or value[0] in "'\"":
        return override
    if name not in PATHS:
        return _quoted_texts(key, value, multirun) if UNKNOWN.search(value) else override
    parsed = _parsed(override)
    if value[0] == "[":
        return override if parsed else f"{key}={_quoted_ids(key, value)}"
    exists = Path(value).exists()
    if parsed is not None:
        if parsed.is_sweep_override():
            parts = value.split(",")
            if not exists and (multirun or all(Path(part).exists() for part in parts)):
                return override
        elif not exists or parsed.value() == value:
            return override
    return f"{key}={in_quotes(value)}"


def _parsed(override: str) -> Override | None:
    """The override as Hydra reads it; None if it does not."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def _quoted_texts(key: str, value: str, multirun: bool) -> str:
    """The override with the texts that Hydra cannot read in quotes; as it was if that fails."""
    override = f"{key}={value}"
    if _parsed(override):
        return override
    if re.search(r"[\[\]{},]", value) or re.match(_FUNCTION, value, re.ASCII):
        mended = f"{key}={_PARTS.sub(_quoted_part, value)}"
    else:
        mended = f"{key}={in_quotes(value.strip())}"
    parsed = _parsed(mended)
    # Without -m, the user has to say whether a comma is one of a text or of a list.
    fits = parsed is not None and (multirun or not parsed.is_sweep_override())
    return mended if fits else override


def _quoted_part(found: re.Match[str]) -> str:
    text = (found["plain"] or "").rstrip()
    if "\\" in text or not UNKNOWN.search(text):
        return found[0]
    return in_quotes(text) + found[0][len(text) :]


def _quoted_ids(key: str, value: str) -> str:
    if value.startswith("@"):
        return in_quotes(value)
    if not value.startswith("["):
        return value
    if not value.endswith("]"):
        raise ValueError(
            f"{key}={value}: the list does not end; the shell splits at blanks and takes quotes "
            f"away. Quote it whole, as in '{key}=[red shoe,\"cap, blue\"]'"
            + (
                ", or give one id per line with items=@FILE or items=- (standard input)"
                if key == "items"
                else ""
            )
        )
    ids = [found[1] for found in _ID.finditer(value[1:-1].strip()) if found[0]]
    if not all(ids) or any(raw[0] in "[{" for raw in ids):
        return value  # Hydra's own lists, and what is none
    return f"[{','.join(raw if _is_quoted(raw) else in_quotes(raw) for raw in ids)}]"


def _is_quoted(raw: str) -> bool:
    return (len(raw) > 1 and raw[0] in "'\"" and raw[-1] == raw[0]) or "\\" in raw


def name_runs(config: DictConfig, *keys: str, unfinished: bool = False) -> None:
    """Replace names of runs by their directories, and print these to stderr.

    ``sys.argv`` is changed, too: the command that resumes must mean the same run later.

    Args:
        config: The configuration; changed in place.
        keys: Those that may hold ``latest`` or a folder of runs, or a list of such; one that is
            null, or not there, is left alone.
        unfinished: As of :func:`~pyg_srgnn.runs.find.find_run`. (default: ``False``)

    Raises:
        FileNotFoundError: If there is no such run.
        ValueError: If it is a sweep.
    """
    for key in keys:
        given = OmegaConf.select(config, key)
        if given is None:
            continue
        several = OmegaConf.is_list(given)
        runs = list(given) if several else [given]
        found = [find_run(run, key, unfinished) for run in runs]
        if found != [Path(run) for run in runs]:
            paths = [str(path) for path in found]
            print(f"{Path(sys.argv[0]).name}: {key}={','.join(paths)}", file=sys.stderr)
            OmegaConf.update(config, key, paths if several else paths[0])
            named = (
                f"{key}=[{','.join(map(in_quotes, paths))}]"
                if several
                else quoted(f"{key}={paths[0]}", multirun=False)
            )
            of_key = (key, f"+{key}", f"++{key}")
            sys.argv = [named if w.partition("=")[0] in of_key else w for w in sys.argv]
