"""Sessions that the workers of a service keep together."""

from __future__ import annotations

from typing import Any

from pyg_srgnn.serving.channel import Channel
from pyg_srgnn.serving.session_store import Click, Items, Unreachable


class ParentMemory:
    """Sessions in the memory of the process that started this one and its siblings.

    Args:
        parent: That process, which has the functions of a :class:`Store`.
    """

    def __init__(self, parent: Channel) -> None:
        self.parent = parent

    async def append(self, session: str, click: Click) -> Items:
        """Append a click to a session, and return all its clicks.

        Raises:
            Unreachable: If that process has ended.
        """
        return list(await self._ask("append", session, click))

    async def delete(self, session: str) -> bool:
        """Delete a session; returns whether there was one.

        Raises:
            Unreachable: If that process has ended.
        """
        return bool(await self._ask("delete", session))

    async def close(self) -> None:
        """Nothing to release."""

    async def _ask(self, function: str, *arguments: object) -> Any:
        try:
            return await self.parent.call(function, *arguments)
        except ConnectionError as error:
            raise Unreachable from error
