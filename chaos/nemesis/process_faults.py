"""Process-level faults: processes killed, frozen, stopped, locked, starved of disk, misled in time.

Each event is written down before it happens.
"""

import asyncio
import contextlib
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Protocol, TextIO

import asyncpg

from chaos.checker.prediction import RECONNECTED_S, Disturbance
from chaos.client.load import no_delay, wait_until_due
from chaos.client.scheduling_stalls import Stall
from chaos.nemesis import full_disk
from chaos.nemesis.freezing import frozen, pids
from chaos.nemesis.patched_process import turned
from chaos.nemesis.recovery import all_ready_again, ready_again, restart
from chaos.scenarios.scenario import Event
from chaos.scenarios.schedule import ScheduledEvent
from deploy.local.services import INVENTORY
from deploy.local.stack import POSTGRES, Stack
from service_kit.pool import POSTGRES_ERRORS

REFUSED_WITHIN_S = 60.0
# A database starts again with less, and can keep nothing.
FULL_DATABASE_BYTES = 16 * 1024
FULL_LOG_BYTES = 1
A_WRITE = "SELECT pg_logical_emit_message(true, 'chaos', 'is there room?')"
# Ahead, behind, and a jump back of two hours in the middle of the work.
CLOCK_TURNS = ("3600", "-3600", "3600 -3600@4")
_ON_TARGET = ("cut", "part", "poison", "release")
LOCK = "SELECT 1 FROM {table} FOR UPDATE"


class Target(Protocol):
    """What is attacked besides the processes: the lines between them, the queue, the code."""

    async def cut(self, link: str, seconds: float) -> None: ...

    async def part(self, link: str, seconds: float) -> None: ...

    async def poison(self, nth: int) -> None: ...

    async def release(self) -> bool: ...


class Nemesis:
    """Carries out a plan of events on one or more stacks, and keeps the log of it.

    `left_out` are the names of events that cannot be carried out here.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        log: Path,
        target: Target | None = None,
        skipped_faults: Container[str] = (),
    ) -> None:
        self._stacks = stacks
        self._log = log
        self._target = target
        self._skipped_faults = skipped_faults
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
            to_come = [each for each in schedule if each.event.name not in self._skipped_faults]
            for scheduled, following in zip_longest(to_come, to_come[1:]):
                await wait_until_due(start + scheduled.at_s, lost_s)
                self.behind_s()
                self._next_due = math.inf if following is None else start + following.at_s
                began = time.time()
                done = await asyncio.gather(*(self._do(scheduled, stack) for stack in self._stacks))
                if done[0]:
                    self.fired[scheduled.event.name] += 1
                why = f"{scheduled.event.name} at {time.strftime('%H:%M:%S', time.gmtime(began))}"
                if scheduled.event.kind != "poison":  # nobody is gone then
                    self.disturbances.append(Disturbance(began, time.time() + RECONNECTED_S, why))
                if (scheduled.event.kind, scheduled.event.target) == ("cut", "shoppers"):
                    self.shoppers_cut_off.append(("line", began, time.time(), time.time() - began))
                self.healed_at = time.monotonic()
                self._write(scheduled, time.time(), "healed")

    async def _do(self, scheduled: ScheduledEvent, stack: Stack) -> bool:
        """Return whether the event was possible on this stack, and had its effect."""
        event = scheduled.event
        ours = stack is self._stacks[0]
        names = _targets(stack, event, scheduled.nth)
        if not names and not (ours and event.kind in _ON_TARGET):
            return False
        if ours:
            self._write(scheduled, time.time(), "fires")
        had_effect = True
        if event.kind in ("kill", "freeze", "fill"):
            # Who is not there cannot be hit: it may have died of another fault just now.
            await all_ready_again(stack, names)
        match event.kind:
            case "kill":
                await asyncio.gather(*(_kill(stack, name) for name in names))
            case "freeze":
                await _freeze(stack, names, event.seconds)
            case "outage":
                await _stop_for(stack, names, event.seconds)
            case "roll" | "turn":
                turns = CLOCK_TURNS[scheduled.nth % len(CLOCK_TURNS)]
                clock = turned(turns) if event.kind == "turn" else {}
                for name in names:
                    await restart(stack, name, **clock)
            case "lock":
                await _lock(stack, event)
            case "fill":
                had_effect = await _fill(stack, names, event.seconds)
            case _:
                had_effect = await self._on_target(scheduled)
        await all_ready_again(stack, names)
        return had_effect

    async def _on_target(self, scheduled: ScheduledEvent) -> bool:
        target, event = self._target, scheduled.event
        assert target is not None, "this run has no ground of its own"
        match event.kind:
            case "cut":
                await target.cut(event.target, event.seconds)
            case "part":
                await target.part(event.target, event.seconds)
            case "release":
                return await target.release()
            case _:
                await target.poison(scheduled.nth)
        return True

    def _write(self, scheduled: ScheduledEvent, at: float, what: str) -> None:
        assert self._file is not None
        line = {"at": at, "event": scheduled.event.name, "nth": scheduled.nth, "what": what}
        self._file.write(json.dumps(line) + "\n")


def _targets(stack: Stack, event: Event, nth: int) -> list[str]:
    """Return the processes an event is for; of replicas, a killer takes one after the other."""
    if event.kind in _ON_TARGET:
        return []
    if event.kind == "lock":
        return [POSTGRES]
    if event.target == "everything":
        return [name for name in stack.processes if name not in (POSTGRES, "temporal")]
    names = [name for name in stack.processes if name.partition("-")[0] == event.target]
    if event.target == INVENTORY and event.kind in ("kill", "freeze", "turn") and names:
        return [names[nth % len(names)]]
    return names


async def _kill(stack: Stack, name: str) -> None:
    # Postgres is ended by its immediate shutdown, which leaves recovery to the next start.
    sig = signal.SIGQUIT if name == POSTGRES else signal.SIGKILL
    while True:
        with contextlib.suppress(ProcessLookupError):
            stack.kill(name, sig)
            return
        await ready_again(stack, name)  # somebody else has just killed it


async def _stop_for(stack: Stack, names: Sequence[str], seconds: float) -> None:
    await asyncio.gather(*(stack.stop(name) for name in names))
    await asyncio.sleep(seconds)
    await asyncio.gather(*(stack.start(name) for name in names))


async def _freeze(stack: Stack, names: Sequence[str], seconds: float) -> None:
    while True:
        async with frozen(stack, names) as family:
            if family:
                await asyncio.sleep(seconds)
                return
        await all_ready_again(stack, names)  # somebody else has just killed it


async def _fill(stack: Stack, names: Sequence[str], seconds: float) -> bool:
    """Fill the disk under some processes; return whether any of them was refused a write.

    It stays full until that has happened: how soon a process that was just born is limited, and
    writes, is the machine's business.
    """
    database = names == [POSTGRES]
    at_bytes = FULL_DATABASE_BYTES if database else FULL_LOG_BYTES
    async with full_disk.full(lambda: pids(stack, names), at_bytes):
        healing = asyncio.create_task(asyncio.sleep(seconds))
        deadline = time.monotonic() + REFUSED_WITHIN_S
        refused = False
        while not refused and time.monotonic() < deadline:
            if database:
                refused = not await _takes_writes(stack.postgres.admin_dsn("orders"))
            else:
                refused = await _starts_unheard(stack, names)
        await healing
        return refused


async def _starts_unheard(stack: Stack, names: Sequence[str]) -> bool:
    """Start services anew, who have a lot to say then; return whether their logs took nothing."""
    logs = [stack.processes[name].log_file for name in names]
    sizes = [log.stat().st_size for log in logs]
    await asyncio.gather(*(_kill(stack, name) for name in names))
    await all_ready_again(stack, names)
    return sizes == [log.stat().st_size for log in logs]


async def _takes_writes(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2.0)
        try:
            await connection.execute(A_WRITE, timeout=2.0)
        finally:
            connection.terminate()
    except TimeoutError:
        return True  # slow is not full
    except POSTGRES_ERRORS:
        return False
    return True


async def _lock(stack: Stack, event: Event) -> None:
    """Hold every row of a table (`database.table`) for a while, as a careless person would."""
    database, _, table = event.target.partition(".")
    connection = await asyncpg.connect(stack.postgres.admin_dsn(database))
    try:
        async with connection.transaction():
            await connection.execute(LOCK.format(table=table))
            await asyncio.sleep(event.seconds)
    finally:
        await connection.close()
