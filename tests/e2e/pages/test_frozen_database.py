"""A database that accepts and never answers: every health answer still comes in time."""

import asyncio
import time

import aiohttp
import psutil
import pytest

from deploy.local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("order_api", "inventory_api", "worker", "subscribers", "ui")
PATIENCE = aiohttp.ClientTimeout(total=5)


async def test_with_the_database_frozen_every_health_answer_comes_within_a_second(
    stack: Stack,
) -> None:
    postmaster = psutil.Process(stack.state()["children"]["postgres"]["pid"])
    frozen = [postmaster, *postmaster.children(recursive=True)]
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:

        async def health(name: str) -> tuple[float, int]:
            began = time.monotonic()
            async with session.get(f"{stack.url(name)}/health") as answer:
                await answer.read()
                return time.monotonic() - began, answer.status

        for process in frozen:
            process.suspend()
        try:
            for _ in range(3):
                answers = await asyncio.gather(*map(health, SERVICES))
                assert max(took for took, _ in answers) < 1.0
                await asyncio.sleep(1.0)  # for as long as a finding is shared
            assert dict(zip(SERVICES, answers, strict=True))["inventory_api"][1] == 503
        finally:
            for process in reversed(frozen):
                process.resume()
