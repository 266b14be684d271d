"""Each test's order and its surroundings, with and without the sandbox; a watch on lost tasks."""

import gc
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.in_memory_services import InMemoryInventory, InMemoryOrderStore
from tests.support.saga_environment import SagaEnvironment, start_temporal
from workflows.policies import POLICIES, Deadlines


@pytest.fixture(params=[False, True], ids=["plain", "sandboxed"])
def sandboxed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Give a fast attempt six seconds: a worker that stood still would fail it, and take others."""
    POLICIES.apply(Deadlines.model_construct(fast_step_s=6.0, workflow_task_s=20.0))
    yield
    POLICIES.apply(Deadlines.model_construct())


@pytest.fixture
async def saga(sandboxed: bool) -> AsyncIterator[SagaEnvironment]:
    async with await start_temporal() as env:
        yield SagaEnvironment(env, InMemoryInventory({"MUG": 2}), InMemoryOrderStore(), sandboxed)


@pytest.fixture(autouse=True)
def nothing_is_swept_under_the_rug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test whose workflow left exceptions or tasks behind that nobody looked at."""
    caplog.set_level(logging.INFO, "asyncio")
    yield
    gc.collect()
    swept = [
        record.getMessage()
        for when in ("setup", "call", "teardown")
        for record in caplog.get_records(when)
        if "never retrieved" in record.getMessage()
        or "was destroyed but it is pending" in record.getMessage()
        or "unfinished" in record.getMessage().lower()
    ]
    assert not swept, swept
