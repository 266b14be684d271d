"""Clients that add lines to a database, and remember what they were told about each.

Client and database are on one machine, so that their clocks are one.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from deploy.local.postgres.connection import connected

_ADD = "INSERT INTO lines (n, filler) VALUES ($1, $2)"
_LINES = "SELECT n, filler FROM lines"
_OF_A_CLIENT = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line, when a client asked for it, and when it knew that it was committed."""

    n: int
    asked_at: datetime
    acknowledged_at: datetime


@dataclass
class Client:
    """Adds line after line, now and then two at once."""

    number: int
    dice: Random
    history: list[Line] = field(default_factory=list)

    async def add_lines(self, dsn: str) -> None:
        """Go on until cancelled; then it is not known what became of the last line."""
        async with connected(dsn) as connection:
            while True:
                n = self.number * _OF_A_CLIENT + len(self.history) + 1
                asked_at = datetime.now(UTC)
                await connection.execute(_ADD, n, filler_of(n))
                self.history.append(Line(n, asked_at, datetime.now(UTC)))
                await asyncio.sleep(self.dice.uniform(0.0, 0.1))


@asynccontextmanager
async def clients_at_work(dsn: str, clients: Iterable[Client]) -> AsyncIterator[None]:
    """Have these clients add lines meanwhile, and fail if one of them could not."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.add_lines(dsn)) for client in clients]
        yield
        for task in tasks:
            task.cancel()


async def lines_of(dsn: str) -> set[int]:
    """Return the numbers of all lines that are there, each with the filler that it was given."""
    async with connected(dsn) as connection:
        rows = await connection.fetch(_LINES)
    altered = [row["n"] for row in rows if row["filler"] != filler_of(row["n"])]
    assert not altered, altered
    return {row["n"] for row in rows}


def missing_at(moment: datetime, found: set[int], clients: Iterable[Client]) -> set[int]:
    """Return what is not there although it was acknowledged by then."""
    known = [line for client in clients for line in client.history]
    return {line.n for line in known if line.acknowledged_at <= moment} - found


def later_than(moment: datetime, found: set[int], clients: Iterable[Client]) -> set[int]:
    """Return what is there although nobody had asked for it by then."""
    known = [line for client in clients for line in client.history]
    return found - {line.n for line in known if line.asked_at <= moment}


def filler_of(n: int) -> str:
    """Return what is in a line."""
    return hashlib.sha256(str(n).encode()).hexdigest()
