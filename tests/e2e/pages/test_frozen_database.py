"""A database that accepts and never answers: every health answer still comes in time."""

import asyncio
import time

import aiohttp
import pytest

from chaos.client.scheduling_stalls import Stalls, stalled_s
from deploy.local.stack import Stack
from tests.support.system_under_test import frozen

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("order_api", "inventory_api", "worker", "subscribers", "ui")
PATIENCE = aiohttp.ClientTimeout(total=5)


async def test_with_the_database_frozen_every_health_answer_comes_within_a_second(
    stack: Stack,
) -> None:
    postmaster = stack.state()["children"]["postgres"]["pid"]
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        Stalls(lambda: None) as stalls,
    ):

        async def health(name: str) -> tuple[float, float, int]:
            began = time.time()
            async with session.get(f"{stack.url(name)}/health") as answer:
                await answer.read()
                return began, time.time(), answer.status

        with frozen(postmaster):
            for _ in range(3):
                answers = await asyncio.gather(*map(health, SERVICES))
                await stalls.caught_up()
                for began, ended, _ in answers:
                    assert ended - began - stalled_s(stalls.seen, began, ended) < 1.0
                await asyncio.sleep(1.0)  # for as long as a finding is shared
            assert dict(zip(SERVICES, answers, strict=True))["inventory_api"][2] == 503
