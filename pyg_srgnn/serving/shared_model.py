"""A model that several workers serve, laid out in a file by a process that does nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.reloading import Reloading
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.trial import try_out


class SharedModel(Reloading):
    """A model that all workers serve.

    Args:
        settings: Where the model is, and how long a reload may take.
        metrics: Where reloads are counted.
        arm: Its name in a comparison.
        spread: Lets all workers serve what is laid out in a file, and sets :attr:`file`.
        folder: Where it is laid out.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        arm: str,
        spread: Callable[[SharedModel, Path], Awaitable[None]],
        folder: Path,
    ) -> None:
        super().__init__(settings, metrics)
        self.arm = arm
        self.spread = spread
        self.folder = folder
        self.file: Path | None = None
        self._count = 0
        self._next = folder / f"{arm}-{self._count}"

    async def _prepare(self, first: bool) -> None:
        self._clear()
        self._count += 1
        self._next = self.folder / f"{self.arm}-{self._count}"
        try:
            await try_out(self.path, self.settings, self._next, first)
        except BaseException:
            self._clear()
            raise

    async def _take(self) -> None:
        try:
            await self.spread(self, self._next)
        finally:
            self._clear()

    def _clear(self) -> None:
        """Delete the files that are not served."""
        for file in self.folder.glob(f"{self.arm}-*"):
            if file != self.file:
                file.unlink()
