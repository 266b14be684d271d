"""Scheduling stalls: moments at which the machine had no time for client or server.

A task that asks to be woken every 20 ms notes how late it was: while the client's process does
not run, no answer can be read. For the process that answers, Linux itself counts how long it was
ready to run and was not let (schedstat): a deadline cannot be kept by who is not running.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

TICK_S = 0.02
WORTH_NOTING_S = 0.003

Source = Literal["client", "server", "line"]
# Whose time it was, from when until when, and how many seconds of that span were lost.
Stall = tuple[Source, float, float, float]


class Stalls:
    """Watches this process's event loop, and the process that `pid` names, in its with block."""

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self.seen: list[Stall] = []
        # For how long, in total, this process wanted to go on and could not (s).
        self.lost_s = 0.0
        self._pid = pid
        self._task: asyncio.Task[None] | None = None
        self._looked = asyncio.Condition()

    async def __aenter__(self) -> "Stalls":
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop watching."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def lost_from_now(self) -> Callable[[], float]:
        """Return what says for how long this process could not go on since now (s).

        By so much everybody in a run comes later: as many shoppers as ever in less of a processor
        would only meet each other's retries in this very process.
        """
        before = self.lost_s
        return lambda: self.lost_s - before

    async def caught_up(self) -> None:
        """Return once everything that has happened by now is in `seen`."""
        async with self._looked:
            await self._looked.wait()

    async def _watch(self) -> None:
        pid, waited = self._pid(), 0.0
        last = time.time()
        while True:
            due = time.time() + TICK_S
            await asyncio.sleep(TICK_S)
            now = time.time()
            if now - due > WORTH_NOTING_S:
                self.seen.append(("client", due, now, now - due))
                self.lost_s += now - due
            before, waited = waited, _waited_s(self._pid())
            if pid == self._pid() and waited - before > WORTH_NOTING_S:
                self.seen.append(("server", last, now, min(waited - before, now - last)))
            pid, last = self._pid(), now
            async with self._looked:
                self._looked.notify_all()


def _waited_s(pid: int | None) -> float:
    """Return how long the process was ready to run and did not, in seconds; 0 if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


class ByTime:
    """Stalls to be asked for by time: those of a busy hour are too many to look at for each answer.

    Times are unix seconds.
    """

    def __init__(self, stalls: Sequence[Stall]) -> None:
        self._of_second: defaultdict[int, list[Stall]] = defaultdict(list)
        for stall in stalls:
            for second in range(int(stall[1]), int(stall[2]) + 1):
                self._of_second[second].append(stall)

    def between(self, begin: float, end: float) -> list[Stall]:
        """Return all that touch this span, and perhaps some that are near it."""
        seconds = range(int(begin), int(end) + 1)
        found = (stall for each in seconds for stall in self._of_second.get(each, ()))
        return list(dict.fromkeys(found))


def stalled_s(stalls: Sequence[Stall], begin: float, end: float) -> float:
    """Return how many seconds between `begin` and `end` are nobody's fault.

    A moment in which neither the client nor the server ran counts once.
    """
    parts = max(int((end - begin) / TICK_S), 1)
    length = (end - begin) / parts
    lost: defaultdict[Source, list[float]] = defaultdict(lambda: [0.0] * parts)
    for source, since, until, seconds in stalls:
        if until <= begin or since >= end or length <= 0:
            continue
        share = seconds / max(until - since, 1e-6)
        first = max(int((since - begin) / length), 0)
        for part in range(first, min(int((until - begin) / length) + 1, parts)):
            here = begin + part * length
            overlap = min(until, here + length) - max(since, here)
            lost[source][part] += max(overlap, 0.0) * share
    together = zip(lost["client"], lost["server"], lost["line"], strict=True)
    return sum(min(max(each), length) for each in together)
