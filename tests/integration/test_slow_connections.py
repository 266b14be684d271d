"""Connections that take longer to make than a request may take."""

import asyncio
from urllib.parse import urlsplit

import pytest

from service_kit import pool
from tests.integration.valve import Valve


async def test_a_connection_too_late_for_one_request_is_there_for_the_next(
    orders_database: str,
) -> None:
    address = urlsplit(orders_database)
    assert address.port is not None
    async with Valve(address.port) as valve:
        dsn = orders_database.replace(f":{address.port}/", f":{valve.port}/")
        connections = await pool.create(
            dsn, name="test", size=2, lock_timeout_s=1.0, statement_timeout_s=1.0
        )
        await valve.shut()
        with pytest.raises(TimeoutError):
            async with pool.within(connections, 0.1):
                pass
        await valve.open()
        for _ in range(1_000):  # nobody asks for one meanwhile
            if pool.size_of(connections)["open"]:
                break
            await asyncio.sleep(0.01)
        async with pool.within(connections, 10) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert pool.size_of(connections) == {"in_use": 0, "open": 1, "max": 2}
        connections.terminate()
