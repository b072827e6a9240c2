"""Says how a service would answer, without serving."""

from __future__ import annotations

import asyncio

import torch

from pyg_srgnn.serving.service import Service
from pyg_srgnn.serving.settings import Settings


def check(settings: Settings) -> str:
    """Load every model, let it answer once, and describe it.

    Args:
        settings: The settings of the service.

    Returns:
        For each model a line with its size, and a line for each catalogue with the precision in
        which it is searched on this processor, and why.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a model, or another file, cannot be used.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    return asyncio.run(_check(settings))


async def _check(settings: Settings) -> str:
    service = Service(settings)
    try:
        lines = [f"processor: torch uses {torch.backends.cpu.get_cpu_capability()}"]
        for name, (models, _) in service.arms.items():
            await models.load()
            recommender = models.current().recommender
            lines.append(
                f"model {name}: {models.path}, {len(recommender.vocabulary):,} items, answers"
            )
            lines += [f"  {of}: {choice}" for of, choice in recommender.choices.items()]
    finally:
        await service.close()
    return "\n".join(lines)
