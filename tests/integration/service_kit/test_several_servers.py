"""An address that names several Postgres servers: the first that takes writes is connected to."""

import socket
from contextlib import closing

import asyncpg
import pytest

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres.connection import connected
from service_kit.postgres import database_health, pool
from service_kit.postgres.connection import Primary, connect
from tests.support.databases import name_in


def naming(*others: str, dsn: str) -> str:
    """Return `dsn` with servers that are asked before its own."""
    return dsn.replace(f"@{LOOPBACK}", f"@{','.join(others)},{LOOPBACK}")


async def test_a_server_that_stays_silent_is_asked_once_and_then_after_the_others(
    orders_database: str,
) -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as silent:
        silent.settimeout(0)
        primary = Primary(naming(f"{LOOPBACK}:{silent.getsockname()[1]}", dsn=orders_database))
        for _ in range(2):
            # the silent one uses up its half, and the other must not on a busy machine
            connection = await primary.connect(timeout=12.0)
            assert await connection.fetchval("SELECT current_database()") == name_in(
                orders_database
            )
            await connection.close()
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()  # it was asked a second time


async def test_if_no_server_answers_the_last_ones_reason_is_told() -> None:
    gone = ",".join(f"{LOOPBACK}:{free_port()}" for _ in range(2))
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await connect(f"postgresql://orders:x@{gone}/orders", 2.0)


async def test_a_database_that_takes_no_writes_is_connected_to_by_nobody_and_health_says_so(
    orders_database: str,
) -> None:
    async with connected(orders_database) as connection:
        name = name_in(orders_database)
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await connect(orders_database, 30.0)
    connections = await pool.create(
        orders_database, name="test", size=1, lock_timeout_s=30, statement_timeout_s=30
    )
    probes = database_health.probes(connections, ["orders"], 1)
    found = await probes["postgres:writable"]()
    connections.terminate()
    assert (found.status, found.output) == ("fail", "no server that takes writes, only reads")
