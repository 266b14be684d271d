"""Baseline: what Temporal and its SDK reach on this machine with nothing of ours to do.

One Python process is client and worker. A workflow is started with an update and runs three local
activities that do nothing; the update answers when it is done. Same server, same client and
worker settings as the platform's. Run as a program, it prints one JSON line, with the CPU that
its one process used: what the SDK costs on this machine today, for comparison.
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

from service_kit.http.server import event_loop
from service_kit.process import garbage_collection
from service_kit.temporal import connect
from worker.temporal_worker import runner
from workflows.policies import POLICIES

QUEUE = "bench-bare"
STEPS = 3


@activity.defn
async def nothing() -> None:
    """Do it."""


@workflow.defn
class BaselineWorkflow:
    """As many state transitions as an order has when all goes well."""

    def __init__(self) -> None:
        self._done = False

    @workflow.run
    async def run(self) -> None:
        """Take three steps."""
        for _ in range(STEPS):
            await workflow.execute_local_activity(
                nothing, start_to_close_timeout=timedelta(seconds=1)
            )
        self._done = True

    @workflow.update
    async def done(self) -> None:
        """Answer when it is done."""
        await workflow.wait_condition(lambda: self._done)


async def _one(client: Client) -> None:
    await client.execute_update_with_start_workflow(
        BaselineWorkflow.done,
        start_workflow_operation=WithStartWorkflowOperation(
            BaselineWorkflow.run,
            id=f"bare-{uuid.uuid4().hex}",
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=POLICIES.workflow_task,
        ),
    )


async def measure(
    concurrency: int, warm_up_s: float, seconds: float, *, sandbox: bool
) -> dict[str, float]:
    """Return workflows per second with `concurrency` under way all along, and CPU ms for each."""
    client = await connect()
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[BaselineWorkflow],
        activities=[nothing],
        workflow_runner=runner(sandbox=sandbox),
        max_cached_workflows=5_000,
        max_concurrent_workflow_task_polls=20,
        nonsticky_to_sticky_poll_ratio=0.5,
    )
    finished, total, used_s = 0, 0, 0.0

    async def keep_going(until: float) -> None:
        nonlocal finished, total
        while time.perf_counter() < until:
            await _one(client)
            total += 1
            finished += time.perf_counter() < until

    garbage_collection.tune_gc()
    async with worker:
        for lasts_s in (warm_up_s, seconds):
            finished, used_s = 0, time.process_time()
            until = time.perf_counter() + lasts_s
            await asyncio.gather(*(keep_going(until) for _ in range(concurrency)))
        used_s = time.process_time() - used_s
    return {
        "per_second": finished / seconds,
        "cpu_ms": 1000 * used_s / max(finished, 1),
        "with_warm_up": total,
    }


def main() -> None:
    """Measure once, as told by the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sandbox", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=event_loop()) as loop:
        found = loop.run(
            measure(
                arguments.concurrency,
                arguments.warm_up,
                arguments.seconds,
                sandbox=arguments.sandbox,
            )
        )
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
