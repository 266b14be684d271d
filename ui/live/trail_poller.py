"""Poller of the trail: a task of its own, so that nothing else waits for the backup process."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Protocol

from nicegui import Event

from ui.clients.backup import Trail
from ui.clients.http import NoAnswer, Refusal

POLL_INTERVAL_S = 5.0


class TrailSource(Protocol):
    """Who can be asked for the trail."""

    async def trail(self) -> Trail:
        """Return it; raise NoAnswer or Refusal."""
        ...


@dataclass(frozen=True, slots=True)
class TrailSnapshot:
    """The trail as last heard of.

    While the process cannot be asked, `trouble` says why, and `trail` stays what it was at
    `heard_at`; None if it was never heard. Times are seconds since 1970, `at` is of this look,
    0 before the first.
    """

    at: float = 0.0
    trail: Trail | None = None
    heard_at: float = 0.0
    trouble: str | None = None


class TrailPoller:
    """What is kept of the platform's data, as all pages show it."""

    def __init__(self, source: TrailSource) -> None:
        self._source = source
        self.now = TrailSnapshot()
        self.changed: Event[[]] = Event()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.poll()
            self.changed.emit()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def poll(self) -> None:
        """Take one look; what was heard before is kept if there is no answer."""
        try:
            trail = await self._source.trail()
        except NoAnswer as error:
            self._keep(f"no usable answer ({error})")
        except Refusal as refusal:
            self._keep(f"it answers with status {refusal.status}, {refusal.title}")
        else:
            now = time.time()
            self.now = TrailSnapshot(at=now, trail=trail, heard_at=now)

    def _keep(self, trouble: str) -> None:
        self.now = replace(self.now, at=time.time(), trouble=trouble)
