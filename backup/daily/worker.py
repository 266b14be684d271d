"""The Temporal worker that executes daily backups."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from backup.daily.contracts import TASK_QUEUE
from backup.daily.references import BackupSteps, LegacySteps
from backup.daily.workflow import DailyBackup, StartDailyBackup

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
