"""Coroutines that go on one step at a time, whenever a test says so."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


class Walker:
    """Runs one coroutine at a time, from pause to pause.

    What it calls pauses by `await walker.pause()` before it does anything that others could notice;
    so a test decides the order in which the steps of several walkers happen.
    """

    def __init__(self) -> None:
        self._may_go_on = asyncio.Event()
        self._paused = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    @property
    def is_walking(self) -> bool:
        return self._task is not None

    async def start(self, errand: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Begin, and go to the first pause."""
        assert self._task is None
        self._task = asyncio.create_task(errand())
        await self._until_pause()

    async def step(self) -> None:
        """Go on to the next pause, or to the end."""
        self._may_go_on.set()
        await self._until_pause()

    async def kill(self) -> None:
        """End it where it is; it does nothing more that others could notice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def pause(self) -> None:
        """Wait for the test's word."""
        self._may_go_on.clear()
        self._paused.set()
        await self._may_go_on.wait()

    async def _until_pause(self) -> None:
        assert self._task is not None
        paused = asyncio.create_task(self._paused.wait())
        await asyncio.wait({paused, self._task}, return_when=asyncio.FIRST_COMPLETED)
        self._paused.clear()
        if self._task.done():
            paused.cancel()
            task, self._task = self._task, None
            task.result()
