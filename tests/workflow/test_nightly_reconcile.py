"""A night's comparison: what is looked at again, what is kept, and how long it is tried."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from backup.daily.contracts import TASK_QUEUE
from backup.nightly.compare import NotCompared
from backup.nightly.contracts import NOT_COMPARED, ON_ITS_WAY, Comparison
from backup.nightly.kept import KeptComparison
from backup.nightly.schedule import OVER_AFTER
from backup.nightly.workflow import WITH_RETRIES, NightlyReconcile
from tests.support.saga_environment import start_temporal
from tests.support.trail.comparisons import Comparisons, found, nightly_work
from worker.temporal_worker import runner

AWAY = "the database of inventory cannot be reached: ConnectionRefusedError"
AGREES, DISAGREES = found(), found(3, found=["2 × held for an order that there is not"])


@dataclass
class Night:
    """A Temporal whose time is skipped, and what is found."""

    env: WorkflowEnvironment
    sandboxed: bool
    kept: KeptComparison
    file: Path
    comparisons: Comparisons = field(default_factory=lambda: Comparisons(AGREES))

    @asynccontextmanager
    async def begun(
        self, *each: Comparison | Exception
    ) -> AsyncIterator[WorkflowHandle[NightlyReconcile, Comparison]]:
        """Begin a comparison that finds these."""
        self.comparisons = Comparisons(*each)
        work = nightly_work(self.comparisons, self.file)
        async with Worker(
            self.env.client,
            task_queue=TASK_QUEUE,
            workflows=work.workflows,
            activities=work.activities,
            workflow_runner=runner(sandbox=self.sandboxed),
        ):
            yield await self.env.client.start_workflow(
                NightlyReconcile.run,
                id=f"reconcile-{uuid4()}",
                task_queue=TASK_QUEUE,
                execution_timeout=OVER_AFTER,
            )


@pytest.fixture
async def night(sandboxed: bool, tmp_path: Path) -> AsyncIterator[Night]:
    file = tmp_path / "trail" / "last-comparison.json"
    async with await start_temporal() as env:
        yield Night(env, sandboxed, KeptComparison(file), file)


async def test_what_agrees_is_looked_at_once_and_kept(night: Night) -> None:
    async with night.begun(AGREES) as comparing:
        assert await comparing.result() == AGREES
    assert len(night.comparisons.asked) == 1
    # Temporal is looked at as well: a workflow may be at work for an order that there is not
    assert night.comparisons.asked[0] is not None
    assert night.kept.read().last == AGREES


async def test_what_was_only_on_its_way_is_never_told(night: Night) -> None:
    async with night.begun(DISAGREES, AGREES) as comparing:
        assert await comparing.result() == AGREES
        began = (await comparing.describe()).start_time
        ended = (await comparing.describe()).close_time
    assert ended is not None
    assert ended - began >= ON_ITS_WAY
    assert night.kept.read().last == AGREES


async def test_a_first_look_alone_accuses_nobody(night: Night) -> None:
    async with night.begun(DISAGREES, NotCompared(AWAY)) as comparing:
        with pytest.raises(WorkflowFailureError):
            await comparing.result()
    kept = night.kept.read()
    assert (kept.last, kept.problem) == (None, AWAY)


async def test_what_still_disagrees_is_kept_with_what_it_is(night: Night) -> None:
    async with night.begun(DISAGREES) as comparing:
        assert await comparing.result() == DISAGREES
    assert len(night.comparisons.asked) == 2
    assert night.kept.read().last == DISAGREES


async def test_a_database_that_is_away_is_waited_for_and_named(night: Night) -> None:
    night.kept.keep(DISAGREES)
    night.kept.note(AWAY)
    assert night.kept.read().problem == AWAY
    assert night.kept.read().last == DISAGREES, "what was found last is not forgotten"
    async with night.begun(*[NotCompared(AWAY)] * 5, AGREES) as comparing:
        assert await comparing.result() == AGREES
    assert len(night.comparisons.asked) == 6
    kept = night.kept.read()
    assert (kept.last, kept.problem) == (AGREES, "")


async def test_a_night_in_which_nothing_can_be_read_ends_before_the_next(night: Night) -> None:
    async with night.begun(NotCompared(AWAY)) as comparing:
        with pytest.raises(WorkflowFailureError) as failed:
            await comparing.result()
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    assert failed.value.cause.cause.type == NOT_COMPARED
    assert AWAY in str(failed.value.cause.cause)
    assert night.kept.read().problem == AWAY
    assert len(night.comparisons.asked) > WITH_RETRIES / timedelta(minutes=15)


def test_two_looks_with_all_their_retries_fit_into_a_night() -> None:
    assert 2 * WITH_RETRIES + ON_ITS_WAY < OVER_AFTER < timedelta(days=1)
