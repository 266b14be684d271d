"""Fault rules of a whole system: put in force in every process, and taken out again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

import aiohttp
import asyncpg

from chaos.injection.admin_client import FaultAdmin, over
from chaos.injection.injector import RELOAD_S, RULES
from chaos.injection.rules import FaultRule
from chaos.nemesis.system import System
from deploy.local.services import INVENTORY, ORDER, WORKER
from service_kit.postgres.pool import POSTGRES_ERRORS

ANSWERED_WITHIN_S = 5.0
PATIENCE_S = 30.0
OWNERS = (INVENTORY, ORDER)
HAS_READ = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'worker'
               AND query = $1 AND query_start > $2 AND state = 'idle')
"""
Found = TypeVar("Found")


class FaultRules:
    """The rules of a system, of whose services the `owners` have the calls to change them."""

    def __init__(self, system: System, owners: Sequence[str] = OWNERS) -> None:
        self._system = system
        self._owners = owners

    async def put(self, rules: Sequence[FaultRule]) -> None:
        """Put rules in force in every process that they are for."""
        async with self._session() as session:
            for rule in rules:
                await _patiently(partial(self._admin(session, owner_of(rule)).put, rule))
        await self._have_read({owner_of(rule) for rule in rules})

    async def remove(self, rules: Sequence[FaultRule]) -> None:
        """Take rules out of force; no harm if they are not."""
        async with self._session() as session:
            for rule in rules:
                admin = self._admin(session, owner_of(rule))
                await _patiently(partial(_remove, admin, rule.name))
        await self._have_read({owner_of(rule) for rule in rules})

    async def remove_all(self) -> None:
        """Take all rules away."""
        async with self._session() as session:
            admins = [self._admin(session, owner) for owner in self._owners]
            await asyncio.gather(*(_patiently(partial(_remove_all, each)) for each in admins))
        await self._have_read(self._owners)

    async def in_force(self) -> list[str]:
        """Return the names of all rules."""
        async with self._session() as session:
            found = [await self._admin(session, owner).rules() for owner in self._owners]
        return [rule.name for rules in found for rule in rules]

    async def _have_read(self, owners: Collection[str]) -> None:
        # A look at a replica's rules makes it read them. The worker has no such call; it reads them
        # once a second, or whenever the machine lets it: the database knows when it did.
        if INVENTORY in owners:
            async with self._session() as session:
                for name in self._system.inventories:
                    await _patiently(self._admin(session, name).rules)
        if ORDER in owners and WORKER in self._system.processes:
            await _worker_has_read(self._system.dsn("orders"))

    def _admin(self, session: aiohttp.ClientSession, name: str) -> FaultAdmin:
        return FaultAdmin(over(session, self._system.url(name)))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        token = self._system.token("chaos", "staff")
        headers = {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=ANSWERED_WITHIN_S)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            yield session


def owner_of(rule: FaultRule) -> str:
    """Return the service that has the rule in its database."""
    return INVENTORY if rule.point.startswith("inventory.") else ORDER


async def _remove_all(admin: FaultAdmin) -> None:
    for rule in await admin.rules():
        await _remove(admin, rule.name)


async def _remove(admin: FaultAdmin, name: str) -> None:
    try:
        await admin.remove(name)
    except aiohttp.ClientResponseError as refusal:
        if refusal.status != 404:  # gone is gone
            raise


async def _patiently(call: Callable[[], Awaitable[Found]]) -> Found:
    """Call until it succeeds: a rule may just have killed the one that is asked."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await call()
        except (aiohttp.ClientError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(RELOAD_S / 4)


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
