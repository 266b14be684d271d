"""Moments at which the machine itself stood still for us, so that it is not blamed on the system.

A task that asks to be woken every 20 ms notes how late it was. What it saw, the client's clocks
saw too: an answer cannot be read while the reader is not running.
"""

import asyncio
import time

TICK_S = 0.02
WORTH_NOTING_S = 0.003


class Stalls:
    """Watches this process's own event loop while its with block runs."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Stalls":
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop watching."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            due = time.time() + TICK_S
            await asyncio.sleep(TICK_S)
            now = time.time()
            if now - due > WORTH_NOTING_S:
                self.seen.append((due, now))


def stalled_s(stalls: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return for how many seconds between `begin` and `end` nothing ran here."""
    return sum(
        max(min(end, until) - max(begin, since), 0.0)
        for since, until in stalls
        if since < end and until > begin
    )
