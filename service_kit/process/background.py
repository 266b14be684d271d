"""Background tasks that live exactly as long as a process serves."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, Self

from service_kit.observability import logs

_log = logs.get(__name__)


class Background:
    """Runs coroutines that should never end by themselves; one that does ends the process.

    A service without its relay or listener looks healthy and is not: better to be restarted. What
    may fail and go on, as most work may, is `Supervised`.
    """

    def __init__(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        self._coroutines = coroutines
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start them all."""
        for coroutine in self._coroutines:
            task = asyncio.create_task(coroutine)
            task.add_done_callback(_end_process)
            self._tasks.append(task)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel them and wait until they are gone."""
        for task in self._tasks:
            task.remove_done_callback(_end_process)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _end_process(task: "asyncio.Task[None]") -> None:
    reason = "cancelled" if task.cancelled() else repr(task.exception())
    _log.critical("background task ended, stopping the process", reason=reason)
    os.kill(os.getpid(), signal.SIGTERM)
