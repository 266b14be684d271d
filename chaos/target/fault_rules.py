"""Switches faults on and off in a running stack, through the services' own admin calls."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg

from chaos.injection.injector import RELOAD_S, RULES
from chaos.injection.rules import FaultRule
from deploy.local.services import INVENTORY, ORDER, WORKER
from deploy.local.stack import Stack
from service_kit.pool import POSTGRES_ERRORS

FAULTS = "/v1/admin/faults"
PATIENCE_S = 30.0
OWNERS = (INVENTORY, ORDER)
HAS_READ = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'worker'
               AND query = $1 AND query_start > $2 AND state = 'idle')
"""


async def put_rules(stack: Stack, rules: Sequence[FaultRule]) -> None:
    """Put rules in force in every process of `stack` that they are for."""
    async with _admin(stack) as session:
        for rule in rules:
            owner = INVENTORY if rule.point.startswith("inventory.") else ORDER
            url = f"{stack.url(owner)}{FAULTS}/{rule.name}"
            await _ask(session, "PUT", url, json=rule.model_dump(mode="json"))
    await _everyone_has_read(stack)


async def remove_rules(stack: Stack, owners: Sequence[str] = OWNERS) -> None:
    """Take all rules away that the `owners` in `stack` have."""
    async with _admin(stack) as session:
        faults = [f"{stack.url(name)}{FAULTS}" for name in owners]
        await asyncio.gather(*(_patiently(_delete_all, session, each) for each in faults))
    await _everyone_has_read(stack)


async def _delete_all(session: aiohttp.ClientSession, faults: str) -> None:
    rules = await _ask(session, "GET", faults)
    for rule in rules["items"]:
        async with session.delete(f"{faults}/{rule['name']}") as response:
            if response.status != 404:  # gone is gone
                response.raise_for_status()


async def _patiently(call: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Call until it succeeds: a rule may just have killed the one that is asked."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            await call(*arguments)
        except (aiohttp.ClientError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(RELOAD_S / 4)
        else:
            return


async def rules_in_force(stack: Stack, owners: Sequence[str] = OWNERS) -> list[str]:
    """Return the names of all rules that the `owners` in `stack` have."""
    found = []
    async with _admin(stack) as session:
        for name in owners:
            rules = await _ask(session, "GET", f"{stack.url(name)}{FAULTS}")
            found += [rule["name"] for rule in rules["items"]]
    return found


async def _everyone_has_read(stack: Stack) -> None:
    # A look at a replica's rules makes it read them. The worker has no such call; it reads them
    # once a second, or whenever the machine lets it: the database knows when it did.
    async with _admin(stack) as session:
        for name in stack.processes:
            if name.partition("-")[0] == INVENTORY:
                await _patiently(_ask, session, "GET", f"{stack.url(name)}{FAULTS}")
    if WORKER in stack.processes:
        await _worker_has_read(stack.postgres.dsn("orders"))


async def _worker_has_read(dsn: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    since: datetime | None = None
    while time.monotonic() < deadline:
        # It or its database may be away just now: then there is no word of it yet.
        with contextlib.suppress(*POSTGRES_ERRORS):
            connection = await asyncpg.connect(dsn, timeout=2.0)
            try:
                since = since or await connection.fetchval("SELECT clock_timestamp()")
                if await connection.fetchval(HAS_READ, RULES, since, timeout=2.0):
                    return
            finally:
                connection.terminate()
        await asyncio.sleep(RELOAD_S / 4)


def _admin(stack: Stack) -> aiohttp.ClientSession:
    token = stack.token("chaos", "staff")
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


async def _ask(session: aiohttp.ClientSession, method: str, url: str, **content: Any) -> Any:
    async with session.request(method, url, **content) as response:
        response.raise_for_status()
        return None if response.status == 204 else await response.json()
