"""Temporal worker that executes orders, watched over while it runs."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    Interceptor,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.inventory import InventoryActivities
from activities.orders import OrderActivities
from service_kit import temporal
from service_kit.observability import logs
from service_kit.observability.health import CheckResult
from worker.settings import WorkerSettings
from workflows.contracts import TASK_QUEUE
from workflows.order import OrderWorkflow

_log = logs.get(__name__)


def order_activities(
    inventory: InventoryActivities, orders: OrderActivities
) -> list[Callable[..., Any]]:
    """Return every activity that an order's workflow may call."""
    return [inventory.reserve, inventory.commit, inventory.release, orders.record]


def runner(*, sandbox: bool) -> WorkflowRunner:
    """Return the way workflow code is executed.

    The sandbox re-imports the workflow module for every order, which costs about as much CPU as
    the rest of the order (docs/decisions). Tests and replays use it; production need not pay.
    """
    return SandboxedWorkflowRunner() if sandbox else UnsandboxedWorkflowRunner()


def deployment_of(settings: WorkerSettings) -> WorkerDeploymentConfig | None:
    """Return which build Temporal is to know this worker as; None: it takes any order.

    Orders are pinned to the build that they began on, so its workflow code need not replay theirs.
    """
    if settings.build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment, settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


def build(
    client: Client,
    activities: Sequence[Callable[..., Any]],
    settings: WorkerSettings,
    interceptors: Sequence[Interceptor] = (),
) -> Worker:
    """Return a worker on the task queue of orders; it polls once it is run."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[OrderWorkflow],
        activities=activities,
        interceptors=interceptors,
        workflow_runner=runner(sandbox=settings.sandbox),
        deployment_config=deployment_of(settings),
        max_cached_workflows=settings.cached_workflows,
        max_concurrent_workflow_tasks=settings.workflow_tasks,
        max_concurrent_local_activities=settings.local_activities,
        max_concurrent_activities=settings.activities,
        max_concurrent_workflow_task_polls=20,
        max_concurrent_activity_task_polls=10,
        nonsticky_to_sticky_poll_ratio=0.5,
        # How long a workflow task waits for the worker that has the order in its cache.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        graceful_shutdown_timeout=timedelta(seconds=3),
    )


class OrderWorker:
    """A worker from before the first connection to after the last task."""

    def __init__(
        self,
        settings: WorkerSettings,
        inventory: InventoryActivities,
        orders: OrderActivities,
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        self._settings = settings
        self._activities = order_activities(inventory, orders)
        self._interceptors = interceptors
        self._client: Client | None = None
        self._worker: Worker | None = None

    async def run(self) -> None:
        """Connect, however long that takes, and work until cancelled."""
        self._client = await temporal.connect_patiently()
        self._worker = build(self._client, self._activities, self._settings, self._interceptors)
        _log.info("worker polls", task_queue=TASK_QUEUE, build=self._settings.build_id)
        await self._worker.run()

    async def polls(self) -> CheckResult:
        """Probe: is the worker taking tasks?"""
        running = self._worker is not None and self._worker.is_running
        return CheckResult() if running else CheckResult("fail", "not polling for orders")

    async def temporal_answers(self) -> CheckResult:
        """Probe: does Temporal answer?"""
        return await temporal.answers(self._client)
