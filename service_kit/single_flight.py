"""Single flight: one result for all who ask at the same time, and for a while after it began."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Runs `work` for whoever asks, never twice at a time.

    A result is shared for `shared_for_s` seconds from when its work began. A failure is shared by
    those who wait for it, and by nobody later.
    """

    def __init__(self, work: Callable[[], Awaitable[Result]], shared_for_s: float) -> None:
        self._work = work
        self._shared_for_s = shared_for_s
        self._task: asyncio.Future[Result] | None = None
        self._began = -math.inf

    async def get(self) -> Result:
        """Return the result there is, or that of the work under way, or begin anew."""
        task = self._task
        if task is None or (task.done() and self._is_over(task)):
            self._began = time.monotonic()
            task = self._task = asyncio.ensure_future(self._work())
            task.add_done_callback(_consume_failure)
        # one caller that goes away must not cancel the work for the others
        return await asyncio.shield(task)

    def _is_over(self, task: "asyncio.Future[Result]") -> bool:
        return (
            task.cancelled()
            or task.exception() is not None
            or time.monotonic() - self._began >= self._shared_for_s
        )


def _consume_failure(task: "asyncio.Future[Result]") -> None:
    """Look at a failure for which nobody has waited long enough, or the log complains."""
    if not task.cancelled():
        task.exception()
