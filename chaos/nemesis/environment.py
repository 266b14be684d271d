"""Test environments: built up piece by piece, all or nothing, and gone without a trace."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import Self


class Environment(ABC):
    """Starts in its with block; what `_start` has put on `_exits` is undone at the end."""

    def __init__(self) -> None:
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything."""
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything and delete it."""
        await self._exits.aclose()

    @abstractmethod
    async def _start(self) -> None: ...
