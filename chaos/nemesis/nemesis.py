"""The nemesis: carries out the planned events of a run, and writes each down before it happens."""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Protocol, TextIO

from chaos.client.pacing import no_delay, wait_until_due
from chaos.client.scheduling_stalls import Stall
from chaos.nemesis.full_disk import fill
from chaos.nemesis.patched_process import turned
from chaos.nemesis.processes import all_ready_again, freeze, kill, restart, stop_for
from chaos.nemesis.system import System
from chaos.scenarios.records import RECONNECTED_S, Disturbance
from chaos.scenarios.scenario import Event
from chaos.scenarios.schedule import ScheduledEvent
from deploy.local.postgres.connection import connected
from deploy.local.services import INVENTORY, service_of
from deploy.local.stack import POSTGRES

# Ahead, behind, and a jump back of two hours in the middle of the work.
CLOCK_TURNS = ("3600", "-3600", "3600 -3600@4")
# What is done to the network, to Temporal and to backups, and not to certain processes.
_BETWEEN_PROCESSES = ("cut", "partition", "poison", "release", "backup")
# Orders have no part in these: nobody whom they need is gone.
_BESIDE_ORDERS = ("poison", "backup")
LOCK = "SELECT 1 FROM {table} FOR UPDATE"


class Links(Protocol):
    """The network between the processes."""

    async def cut(self, link: str, seconds: float) -> None: ...

    async def partition(self, link: str, seconds: float) -> None: ...


class Orders(Protocol):
    """The orders in Temporal, and the code that carries them out."""

    async def poison(self, nth: int) -> None: ...

    async def release(self, system: System) -> bool: ...


class Backups(Protocol):
    """The backups of a system, one date after another."""

    async def back_up(self, meets: str, system: System) -> bool: ...


class Nemesis:
    """Carries out a schedule of events on one or more systems, and keeps the log of it.

    `network`, `orders` and `backups` belong to the first system; None where there is none to
    attack. `skipped` are the names of events that cannot be carried out here.
    """

    def __init__(
        self,
        systems: Sequence[System],
        log: Path,
        *,
        network: Links | None = None,
        orders: Orders | None = None,
        backups: Backups | None = None,
        skipped: Container[str] = (),
    ) -> None:
        self._systems = systems
        self._log = log
        self._network = network
        self._orders = orders
        self._backups = backups
        self._skipped = skipped
        self._file: TextIO | None = None
        self._behind_s = 0.0
        self._next_due = math.inf
        self._lost_s: Callable[[], float] = no_delay
        self.healed_at = 0.0
        self.fired: Counter[str] = Counter()
        self.disturbances: list[Disturbance] = []
        # What the network kept from the shoppers is no service's answer time.
        self.shoppers_cut_off: list[Stall] = []

    def behind_s(self) -> float:
        """Return how far the events are behind the plan: they last as long as the machine needs.

        By so much the shoppers come later, or the last events would meet no order.
        """
        lost_s = self._lost_s()
        self._behind_s = max(self._behind_s, time.monotonic() - self._next_due - lost_s)
        return self._behind_s + lost_s

    async def run(
        self, schedule: Sequence[ScheduledEvent], lost_s: Callable[[], float] = no_delay
    ) -> None:
        """Do each at its time, or once the one before has healed; returns when the last has.

        By `lost_s`, which only grows, everything is later than planned.
        """
        self._lost_s = lost_s
        with self._log.open("w", buffering=1, encoding="utf-8") as self._file:
            start = time.monotonic()
            to_come = [each for each in schedule if each.event.name not in self._skipped]
            for scheduled, following in zip_longest(to_come, to_come[1:]):
                await wait_until_due(start + scheduled.at_s, lost_s)
                self.behind_s()
                self._next_due = math.inf if following is None else start + following.at_s
                await self._carry_out(scheduled)
                self.healed_at = time.monotonic()
                self._write(scheduled, "healed")

    async def _carry_out(self, scheduled: ScheduledEvent) -> None:
        event = scheduled.event
        began = time.time()
        done = await asyncio.gather(*(self._do(scheduled, system) for system in self._systems))
        if done[0]:
            self.fired[event.name] += 1
        ended = time.time()
        why = f"{event.name} at {time.strftime('%H:%M:%S', time.gmtime(began))}"
        if event.kind not in _BESIDE_ORDERS:
            self.disturbances.append(Disturbance(began, ended + RECONNECTED_S, why))
        if (event.kind, event.target) == ("cut", "shoppers"):
            self.shoppers_cut_off.append(("line", began, ended, ended - began))

    async def _do(self, scheduled: ScheduledEvent, system: System) -> bool:
        """Return whether the event was possible on this system, and had its effect."""
        event = scheduled.event
        first = system is self._systems[0]
        names = _victims(system, event, scheduled.nth)
        if not names and not (first and event.kind in _BETWEEN_PROCESSES):
            return False
        if first:
            self._write(scheduled, "fires")
        if event.kind in ("kill", "freeze", "fill"):
            # Who is not there cannot be hit: it may have died of another fault just now.
            await all_ready_again(system, names)
        if event.kind in ("cut", "partition"):
            had_effect = await self._disconnect(event)
        elif event.kind in ("poison", "release"):
            had_effect = await self._attack_orders(scheduled, system)
        elif event.kind == "backup":
            assert self._backups is not None, "this system makes no backups"
            had_effect = await self._backups.back_up(event.target, system)
        else:
            had_effect = await _hit(system, names, scheduled)
        await all_ready_again(system, names)
        return had_effect

    async def _disconnect(self, event: Event) -> bool:
        assert self._network is not None, "the links of this system are not ours"
        if event.kind == "cut":
            await self._network.cut(event.target, event.seconds)
        else:
            await self._network.partition(event.target, event.seconds)
        return True

    async def _attack_orders(self, scheduled: ScheduledEvent, system: System) -> bool:
        assert self._orders is not None, "this system has no orders in Temporal"
        if scheduled.event.kind == "release":
            return await self._orders.release(system)
        await self._orders.poison(scheduled.nth)
        return True

    def _write(self, scheduled: ScheduledEvent, what: str) -> None:
        assert self._file is not None
        event, nth = scheduled.event.name, scheduled.nth
        line = {"at": time.time(), "event": event, "nth": nth, "what": what}
        self._file.write(json.dumps(line) + "\n")


def _victims(system: System, event: Event, nth: int) -> list[str]:
    """Return the processes an event is for; of replicas, a killer takes one after the other."""
    if event.kind in _BETWEEN_PROCESSES:
        return []
    if event.kind == "lock":
        return [POSTGRES]
    if event.target == "everything":
        return system.services
    names = [name for name in system.processes if service_of(name) == event.target]
    if event.target == INVENTORY and event.kind in ("kill", "freeze", "turn") and names:
        return [names[nth % len(names)]]
    return names


async def _hit(system: System, names: Sequence[str], scheduled: ScheduledEvent) -> bool:
    """Do to these processes what is planned; return whether it had its effect."""
    event = scheduled.event
    match event.kind:
        case "kill":
            await asyncio.gather(*(kill(system, name) for name in names))
        case "freeze":
            await freeze(system, names, event.seconds)
        case "outage":
            await stop_for(system, names, event.seconds)
        case "roll" | "turn":
            turns = CLOCK_TURNS[scheduled.nth % len(CLOCK_TURNS)]
            clock = turned(turns) if event.kind == "turn" else {}
            for name in names:
                await restart(system, name, **clock)
        case "lock":
            await _lock(system, event)
        case "fill":
            return await fill(system, names, event.seconds)
    return True


async def _lock(system: System, event: Event) -> None:
    """Hold every row of a table (`database.table`) for a while, as a careless person would."""
    database, _, table = event.target.partition(".")
    async with connected(system.admin_dsn(database)) as connection, connection.transaction():
        await connection.execute(LOCK.format(table=table))
        await asyncio.sleep(event.seconds)
