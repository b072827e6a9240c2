"""srgnn-serve: recommendations over HTTP, from a trained or an exported model."""

from __future__ import annotations

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.checks import naming_keys
from pyg_srgnn.serving import serve
from pyg_srgnn.serving.settings import Settings, secrets


@application("serve")
def main(config: DictConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    if OmegaConf.is_missing(config, "checkpoint"):
        raise ValueError("checkpoint: must be given; --help shows examples")
    given = cast(dict[str, Any], OmegaConf.to_container(config))
    with naming_keys():
        settings = Settings(**secrets(), **given)
    serve(settings)


if __name__ == "__main__":
    main()
