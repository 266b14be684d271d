"""The Temporal worker that executes daily backups, watched over while it runs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.client import Client, Schedule
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from backup.daily import schedule
from backup.daily.contracts import TASK_QUEUE
from backup.daily.references import BackupSteps, LegacySteps
from backup.daily.workflow import DailyBackup, StartDailyBackup
from service_kit import temporal
from service_kit.observability.health import CheckResult

SCHEDULE_ENSURED_EVERY_S = 600.0

WORKFLOWS = (DailyBackup, StartDailyBackup)


@dataclass(frozen=True, slots=True)
class FurtherWork:
    """What is done beside daily backups on their task queue, and its Schedules by their ids."""

    workflows: Sequence[type[Any]] = ()
    activities: Sequence[Callable[..., Any]] = ()
    schedules: Mapping[str, Schedule] = field(default_factory=dict)


NOTHING_FURTHER = FurtherWork()


def build(
    client: Client,
    steps: BackupSteps,
    legacy: LegacySteps,
    *,
    further: FurtherWork = NOTHING_FURTHER,
    interceptors: Sequence[Interceptor] = (),
    workflow_runner: WorkflowRunner | None = None,
) -> Worker:
    """Return a worker on the task queue of backups; it polls once it is run."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[*WORKFLOWS, *further.workflows],
        activities=[
            *(steps.seal, steps.prove, steps.copy, legacy.call, legacy.confirm),
            *further.activities,
        ],
        interceptors=interceptors,
        workflow_runner=workflow_runner or UnsandboxedWorkflowRunner(),
        # Few and heavy: a base backup, a restore and an upload at a time are enough for a disk.
        max_concurrent_activities=8,
        max_concurrent_workflow_tasks=4,
        graceful_shutdown_timeout=timedelta(seconds=3),
    )


class BackupWorker:
    """A worker from before the first connection to after the last task, and its Schedules."""

    def __init__(
        self,
        steps: BackupSteps,
        legacy: LegacySteps,
        stores: Sequence[str],
        interceptors: Sequence[Interceptor] = (),
        further: FurtherWork = NOTHING_FURTHER,
    ) -> None:
        self._steps = steps
        self._legacy = legacy
        self._stores = stores
        self._interceptors = interceptors
        self._further = further
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._worker: Worker | None = None

    async def run(self) -> None:
        """Connect, however long that takes, and work until cancelled."""
        self._client = await temporal.connect_patiently()
        self._connected.set()
        self._worker = build(
            self._client,
            self._steps,
            self._legacy,
            further=self._further,
            interceptors=self._interceptors,
        )
        await self._worker.run()

    async def keep_schedule(self) -> None:
        """Have the Schedules, again and again: a Temporal with a new file knows nothing of them."""
        await self._connected.wait()
        assert self._client is not None, "it is connected"
        while True:
            await schedule.ensure(self._client, self._stores)
            for schedule_id, wanted in self._further.schedules.items():
                await schedule.ensure_one(self._client, schedule_id, wanted)
            await asyncio.sleep(SCHEDULE_ENSURED_EVERY_S)

    async def polls(self) -> CheckResult:
        """Probe: is the worker taking tasks?"""
        running = self._worker is not None and self._worker.is_running
        return CheckResult() if running else CheckResult("fail", "not polling for backups")

    async def temporal_answers(self) -> CheckResult:
        """Probe: does Temporal answer?"""
        return await temporal.answers(self._client)
