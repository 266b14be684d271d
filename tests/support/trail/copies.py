"""Copies of a database in use, as of one instant: what a backup of it would bring back."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.postgres.connection import connected
from tests.support.databases import Databases, Owner, name_in
from tests.support.event_loop_thread import EventLoopThread

# What the templates do not bring, referenced tables first.
TABLES: dict[Owner, tuple[str, ...]] = {
    "orders": ("orders", "order_lines", "order_events", "subscriber_cursors"),
    "inventory": ("stock", "reservations", "movements"),
}
NUMBERED = {"order_events": "seq", "movements": "movement_id"}
Copy = dict[str, bytes]


async def take_copy(dsn: str, owner: Owner) -> Copy:
    """Return all rows of the database at `dsn`, by table, as of one instant."""
    copy: Copy = {}
    async with (
        connected(dsn) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        for table in TABLES[owner]:
            rows = io.BytesIO()
            await connection.copy_from_table(table, output=rows)
            copy[table] = rows.getvalue()
    return copy


@contextmanager
def restored(
    loop_thread: EventLoopThread, databases: Databases, owner: Owner, copy: Copy
) -> Iterator[str]:
    """Give the address of a new database with the rows of `copy`."""
    with databases.fresh(owner) as dsn:
        loop_thread.run(_fill(databases, dsn, copy))
        yield dsn


async def _fill(databases: Databases, dsn: str, copy: Copy) -> None:
    async with connected(databases.postgres.admin_dsn(name_in(dsn))) as connection:
        for table, rows in copy.items():
            await connection.copy_to_table(table, source=io.BytesIO(rows))
            if number := NUMBERED.get(table):
                last = f"SELECT coalesce(max({number}), 1) FROM {table}"  # noqa: S608  names above
                await connection.execute(
                    "SELECT setval(pg_get_serial_sequence($1, $2), $3)",
                    *(table, number, await connection.fetchval(last)),
                )
