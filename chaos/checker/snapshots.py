"""Snapshots of the warehouse's books, taken while a run goes on."""

import asyncio
import contextlib
from collections.abc import Callable

from chaos.checker.databases import faults_fired, snapshots
from chaos.checker.observations import Snapshot
from service_kit.postgres.pool import POSTGRES_ERRORS

EVERY_S = 2.0
# Of the looks at the books, what has to succeed: the warehouse's database is away at times.
SEEN_SHARE = 0.3


class Watch:
    """Looks at the books of a system every now and then, until it is cancelled.

    `dsn` gives the address of a database by its name. `faults_fired` counts what has fired inside
    the services.
    """

    def __init__(self, dsn: Callable[[str], str]) -> None:
        self.snapshots: list[Snapshot] = []
        self.looks = 0
        self.violations = 0
        self.faults_fired = 0
        self._dsn = dsn

    async def go_on(self, on_look: Callable[[], None]) -> None:
        """Look, for ever; `on_look` is called after each."""
        while True:
            await asyncio.sleep(EVERY_S / 2)
            self.looks += 1
            with contextlib.suppress(*POSTGRES_ERRORS):
                taken = await snapshots(self._dsn("inventory"))
                self.snapshots += taken
                self.violations += sum(not shot.conserves for shot in taken)
                fired = [await faults_fired(self._dsn(each)) for each in ("inventory", "orders")]
                self.faults_fired = sum(fired)
            on_look()
            await asyncio.sleep(EVERY_S / 2)

    def failure(self) -> str | None:
        """Return what to say if too few looks have succeeded, or their word is worth nothing."""
        # How many there is time for is the machine's business.
        seen = len({shot.at for shot in self.snapshots})
        if seen >= SEEN_SHARE * self.looks:
            return None
        return f"the warehouse's books were seen {seen} of {self.looks} times"
