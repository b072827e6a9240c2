"""srgnn-serve: recommends over HTTP, with a trained or an exported model."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.validate import validated
from pyg_srgnn.serving import serve
from pyg_srgnn.serving.settings import Settings, secrets


def validate(config: DictConfig) -> Settings:
    """Make the settings of the service.

    Raises:
        ValueError: If values are not allowed; names each key, what was found and what is expected.
    """
    return validated(Settings, config, **secrets())


@application("serve")
def _serve(config: DictConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    serve(validate(config))


def main() -> None:
    """Serve; ``--check`` is ``check=true``."""
    sys.argv[1:] = ["check=true" if word == "--check" else word for word in sys.argv[1:]]
    _serve()


if __name__ == "__main__":
    main()
