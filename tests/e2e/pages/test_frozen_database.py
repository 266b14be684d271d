"""A database that accepts and never answers: every health answer still comes in time."""

import asyncio

import aiohttp
import pytest

from deploy.local.stack import Stack
from tests.support.machine_time import kept_within
from tests.support.system_under_test import frozen

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("order_api", "inventory_api", "worker", "subscribers", "ui")
PATIENCE = aiohttp.ClientTimeout(total=60)


async def test_with_the_database_frozen_every_health_answer_comes_within_a_second(
    stack: Stack,
) -> None:
    postmaster = stack.state()["children"]["postgres"]["pid"]
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:

        async def health(name: str) -> int:
            async with (
                kept_within(1.0, stack, name),
                session.get(f"{stack.url(name)}/health") as it,
            ):
                await it.read()
            return it.status

        with frozen(postmaster):
            for _ in range(3):
                statuses = await asyncio.gather(*map(health, SERVICES))
                await asyncio.sleep(1.0)  # for as long as a finding is shared
            assert dict(zip(SERVICES, statuses, strict=True))["inventory_api"] == 503
