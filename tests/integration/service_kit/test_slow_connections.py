"""A pool that is asked for more than it has: late connections, and far too many callers."""

import asyncio
from collections import Counter
from urllib.parse import urlsplit

import pytest

from chaos.nemesis.tcp_proxy import TcpProxy
from service_kit.postgres import pool


async def test_a_connection_too_late_for_one_request_is_there_for_the_next(
    orders_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(orders_database)
    assert address.port is not None
    # its maker has longer than a machine may stand still
    monkeypatch.setattr(pool, "CONNECT_S", 60.0)
    async with TcpProxy(address.port) as proxy:
        dsn = orders_database.replace(f":{address.port}/", f":{proxy.port}/")
        connections = await pool.create(
            dsn, name="test", size=2, lock_timeout_s=30.0, statement_timeout_s=30.0
        )
        await proxy.shut()
        with pytest.raises(TimeoutError):
            async with pool.within(connections, 0.1):
                pass
        await proxy.open()
        for _ in range(6_000):  # nobody asks for one meanwhile
            if pool.size_of(connections)["open"]:
                break
            await asyncio.sleep(0.01)
        async with pool.within(connections, 30) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert pool.size_of(connections) == {"in_use": 0, "open": 1, "max": 2}
        connections.terminate()


async def test_a_pool_that_is_overrun_is_whole_again_afterwards(orders_database: str) -> None:
    connections = await pool.create(
        orders_database, name="test", size=4, lock_timeout_s=1.0, statement_timeout_s=1.0
    )
    ended: Counter[str] = Counter()

    async def caller() -> None:
        try:
            async with pool.within(connections, 0.05) as connection:
                await connection.fetchval("SELECT pg_sleep(0.003)")
            ended["served"] += 1
        except TimeoutError:
            ended["turned away"] += 1

    # Ten times what it can serve, steadily: more than it lets wait for a late connection.
    callers = []
    for _ in range(1_000):
        callers += [asyncio.create_task(caller()) for _ in range(30)]
        await asyncio.sleep(0.005)
    await asyncio.gather(*callers)
    assert ended["turned away"] > 1_000
    for _ in range(1_000):  # those who came too late give theirs back
        if not pool.size_of(connections)["in_use"]:
            break
        await asyncio.sleep(0.01)
    assert pool.size_of(connections)["in_use"] == 0, ended
    async with pool.within(connections, 30) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    connections.terminate()
