"""The Temporal worker that executes daily backups, watched over while it runs."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from backup.daily import schedule
from backup.daily.contracts import TASK_QUEUE
from backup.daily.references import BackupSteps, LegacySteps
from backup.daily.workflow import DailyBackup, StartDailyBackup
from service_kit.observability import logs
from service_kit.observability.health import PROBE_LIMIT_S, CheckResult
from service_kit.temporal import connect

RECONNECT_DELAY_S = 0.5
SCHEDULE_ENSURED_EVERY_S = 600.0
_log = logs.get(__name__)

WORKFLOWS = (DailyBackup, StartDailyBackup)


def build(
    client: Client,
    steps: BackupSteps,
    legacy: LegacySteps,
    *,
    interceptors: Sequence[Interceptor] = (),
    workflow_runner: WorkflowRunner | None = None,
) -> Worker:
    """Return a worker on the task queue of backups; it polls once it is run."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[steps.seal, steps.prove, steps.copy, legacy.call, legacy.confirm],
        interceptors=interceptors,
        workflow_runner=workflow_runner or UnsandboxedWorkflowRunner(),
        # Few and heavy: a base backup, a restore and an upload at a time are enough for a disk.
        max_concurrent_activities=8,
        max_concurrent_workflow_tasks=4,
        graceful_shutdown_timeout=timedelta(seconds=3),
    )


class BackupWorker:
    """A worker from before the first connection to after the last task, and its Schedule."""

    def __init__(
        self,
        steps: BackupSteps,
        legacy: LegacySteps,
        stores: Sequence[str],
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        self._steps = steps
        self._legacy = legacy
        self._stores = stores
        self._interceptors = interceptors
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._worker: Worker | None = None

    async def run(self) -> None:
        """Connect, however long that takes, and work until cancelled."""
        self._client = await self._connect()
        self._connected.set()
        self._worker = build(
            self._client, self._steps, self._legacy, interceptors=self._interceptors
        )
        await self._worker.run()

    async def keep_schedule(self) -> None:
        """Have the Schedule, again and again: a Temporal with a new file knows nothing of it."""
        await self._connected.wait()
        assert self._client is not None, "it is connected"
        while True:
            await schedule.ensure(self._client, self._stores)
            await asyncio.sleep(SCHEDULE_ENSURED_EVERY_S)

    async def polls(self) -> CheckResult:
        """Probe: is the worker taking tasks?"""
        running = self._worker is not None and self._worker.is_running
        return CheckResult() if running else CheckResult("fail", "not polling for backups")

    async def temporal_answers(self) -> CheckResult:
        """Probe: does Temporal answer?"""
        if self._client is None:
            return CheckResult("fail", "not connected")
        timeout = timedelta(seconds=PROBE_LIMIT_S)
        serving = await self._client.service_client.check_health(timeout=timeout)
        return CheckResult() if serving else CheckResult("fail", "not serving")

    async def _connect(self) -> Client:
        while True:
            try:
                return await connect()
            except RuntimeError as error:  # what the SDK raises when nobody answers
                _log.warning("Temporal is not there yet", reason=str(error)[:200])
                await asyncio.sleep(RECONNECT_DELAY_S)
