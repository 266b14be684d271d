"""Record histories of daily backups, on a real Temporal and with the real stand-in and claims.

    python -m tests.replay.record_backup

As with orders (`tests/replay/record.py`), what was recorded once is never written over.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowHandle

from backup.daily import worker
from backup.daily.activities import BackupActivities, LegacyActivities
from backup.daily.contracts import START_DAILY_BACKUP, TASK_QUEUE, BackupPlan, workflow_id
from backup.daily.workflow import DailyBackup
from backup.legacy.call import LegacyCall
from backup.legacy.claim_folder import ClaimFolder
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.temporal.server import EmbeddedTemporal
from service_kit.temporal import connect
from tests.replay.record import HISTORIES, keep
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.trail.claims_site import ClaimsSite, claims_site
from tests.support.trail.legacy import serve_legacy
from tests.support.trail.parts import DigestProver, FolderSealer, FolderStore

BACKUP_HISTORIES = HISTORIES / "backup"


@dataclass
class Recording:
    """What a story has to do with."""

    client: Client
    site: ClaimsSite

    async def backup(self, *stores: str, name: str | None = None) -> WorkflowHandle[Any, Any]:
        """Run today's backup to its end."""
        today = datetime.now(UTC).date()
        handle = await self.client.start_workflow(
            DailyBackup.run,
            BackupPlan(day=today, stores=stores),
            id=name or f"recorded-{uuid4()}",
            task_queue=TASK_QUEUE,
        )
        await handle.result()
        return handle


Story = Callable[[Recording], Awaitable[WorkflowHandle[Any, Any]]]


async def called(recording: Recording) -> WorkflowHandle[Any, Any]:
    """Everything works the first time."""
    return await recording.backup("near", "far")


async def called_before(recording: Recording) -> WorkflowHandle[Any, Any]:
    """The date's call has been made by somebody else."""
    return await recording.backup("near")


async def started_by_the_schedule(recording: Recording) -> WorkflowHandle[Any, Any]:
    """The Schedule's hourly run begins the date's backup."""
    return await _tick(recording)


async def started_before(recording: Recording) -> WorkflowHandle[Any, Any]:
    """The next hourly run finds that it was begun."""
    return await _tick(recording)


async def _tick(recording: Recording) -> WorkflowHandle[Any, Any]:
    handle = await recording.client.start_workflow(
        START_DAILY_BACKUP, ["near"], id=f"recorded-{uuid4()}", task_queue=TASK_QUEUE
    )
    await handle.result()
    await recording.client.get_workflow_handle(workflow_id(datetime.now(UTC).date())).result()
    return handle


STORIES: tuple[Story, ...] = (called, called_before, started_by_the_schedule, started_before)


async def record(site: ClaimsSite, folder: Path) -> None:
    """Live through every story and write its history to a new file."""
    client = await connect()
    steps = BackupActivities(
        FolderSealer(folder / "sealed"),
        DigestProver(),
        {name: FolderStore(folder / name) for name in ("near", "far")},
    )
    call = LegacyCall(site.legacy.client(site.claims), site.calls, ClaimFolder(site.claims))
    site.legacy.clock.now = datetime.now(UTC)
    async with worker.build(client, steps, LegacyActivities(call, site.calls)):
        for story in STORIES:
            handle = await story(Recording(client, site))
            name = story.__name__.replace("_", "-")
            keep(await handle.fetch_history(), name, BACKUP_HISTORIES)


def main() -> None:
    """Record every story."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="backups-")))
        folder.chmod(0o755)  # the database's account has to pass through
        loop_thread = stack.enter_context(EventLoopThread())
        postgres = EmbeddedPostgres(folder / "postgres", fsync=False)
        databases = Databases(loop_thread, stack.enter_context(loop_thread.entered(postgres)))
        databases.prepare()
        temporal = stack.enter_context(loop_thread.entered(EmbeddedTemporal(folder / "temporal")))
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(
            "TEMPORAL_ADDRESS", temporal.address
        )
        dsn = stack.enter_context(databases.fresh("backup"))
        legacy = stack.enter_context(serve_legacy(folder / "legacy"))

        async def all_stories() -> None:
            async with claims_site(databases, dsn, legacy, folder) as site:
                await record(site, folder)

        asyncio.run(all_stories())


if __name__ == "__main__":
    main()
