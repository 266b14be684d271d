"""Record histories of nightly comparisons, on a real Temporal.

    python -m tests.replay.record_nightly

As with orders (`tests/replay/record.py`), what was recorded once is never written over. The time
between two looks, and between two attempts, is as it is: this takes a quarter of an hour.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from backup.nightly.compare import NotCompared
from backup.nightly.contracts import Comparison
from backup.nightly.workflow import NightlyReconcile
from deploy.local.temporal.server import EmbeddedTemporal
from service_kit.temporal import connect
from tests.replay.record import HISTORIES, keep
from tests.support.event_loop_thread import EventLoopThread
from tests.support.trail.comparisons import Comparisons, found, nightly_work

NIGHTLY_HISTORIES = HISTORIES / "nightly"
Finds = Sequence[Comparison | Exception]

DISAGREES = found(3, for_people=1, found=["2 × held for nobody", "a shelf is wrong"])
# By name, what each look finds.
STORIES: dict[str, Finds] = {
    "agrees": (found(for_people=1, decided=2),),
    "agrees-after-an-outage": (NotCompared("the database of inventory is away"), found()),
    "was-on-its-way": (DISAGREES, found()),
    "disagrees": (DISAGREES,),
}


async def record(name: str, finds: Finds, client: Client, folder: Path) -> None:
    """Live through a story and write its history to a new file."""
    work = nightly_work(Comparisons(*finds), folder / f"{name}.json")
    queue = f"recorded-{uuid4()}"
    async with Worker(
        client, task_queue=queue, workflows=work.workflows, activities=work.activities
    ):
        handle = await client.start_workflow(NightlyReconcile.run, id=queue, task_queue=queue)
        await handle.result()
        keep(await handle.fetch_history(), name, NIGHTLY_HISTORIES)


def main() -> None:
    """Record every story, side by side."""
    NIGHTLY_HISTORIES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nights-")))
        loop_thread = stack.enter_context(EventLoopThread())
        temporal = stack.enter_context(loop_thread.entered(EmbeddedTemporal(folder / "temporal")))
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(
            "TEMPORAL_ADDRESS", temporal.address
        )

        async def all_stories() -> None:
            client = await connect()
            async with asyncio.TaskGroup() as group:
                for name, finds in STORIES.items():
                    group.create_task(record(name, finds, client, folder))

        asyncio.run(all_stories())


if __name__ == "__main__":
    main()
