"""python -m pyg_srgnn.serving EXPORT: starts the service without Hydra."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from pyg_srgnn.serving import serve
from pyg_srgnn.serving.settings import SECRETS, Settings, secrets


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve with the settings of the command line; a wrong setting or file is one message."""
    given = vars(_parser().parse_args(arguments))
    try:
        serve(Settings(**secrets(), **given))
    except (OSError, ValueError) as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        raise SystemExit(1) from error


_PROGRAM = "pyg_srgnn.serving"


def whole_or_null(text: str) -> int | None:
    """Read a whole number, or null."""
    return None if text == "null" else int(text)


# Not in the annotations, which are texts here.
_KINDS: dict[str, Any] = dict.fromkeys(("threads", "max_per_address"), whole_or_null)
_KINDS |= dict.fromkeys(("names", "challenger", "answers", "attributes", "rules", "sessions"), str)
_KINDS |= {"hosts": lambda text: text.split(",")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PROGRAM}",
        description=(
            f"Recommendations over HTTP. {SECRETS['token']} in the environment is a token that "
            f"every request must bear, {SECRETS['redis_password']} the password of Redis. "
            f"What each setting means: pydoc {_PROGRAM}.settings.Settings"
        ),
    )
    parser.add_argument("checkpoint", help="an exported folder, run directory or checkpoint file")
    for setting in fields(Settings):
        if setting.name in ("checkpoint", *SECRETS):
            continue
        name = "--" + setting.name.replace("_", "-")
        if setting.default is False:
            parser.add_argument(name, action="store_true")
            continue
        assert setting.default is not MISSING
        kind = _KINDS.get(setting.name) or type(setting.default)
        shown = "none" if setting.default is None else setting.default
        parser.add_argument(
            name, type=kind, default=setting.default, metavar="…", help=f"default: {shown}"
        )
    return parser


if __name__ == "__main__":
    main()
