"""Workflows at work for orders that the orders database has lost: Temporal is the newer one.

Such a workflow would take goods off the shelf for nobody, and never end: its updates find no row.
It is terminated and not cancelled: so the order, sent again by its customer, can start it anew.
"""

import itertools
from collections.abc import Iterator
from uuid import UUID

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from backup.errors import BackupProblem
from backup.reconcile.books import Books
from order_api.workflow_client import TEMPORAL_ERRORS, OrderWorkflows
from workflows.contracts import workflow_id
from workflows.policies import POLICIES

BATCH = 5_000
REASON = "reconciled: the orders database does not have this order"


class TemporalAway(BackupProblem):
    """Temporal does not say which workflows are at work."""


async def end_orphaned(client: Client, books: Books, *, dry_run: bool) -> int:
    """End the workflows of orders that there are not, and return how many there were.

    They are listed before the orders are looked at: an order is durable before its workflow starts,
    so one that is being placed just now cannot be taken for lost.
    """
    orphaned = 0
    try:
        workflows = OrderWorkflows(client, POLICIES.workflow_task.total_seconds())
        for some in _batches(await workflows.running()):
            lost = await books.without_order(some)
            orphaned += len(lost)
            for order_id in () if dry_run else lost:
                await _end(client, order_id)
    except TEMPORAL_ERRORS as error:
        raise TemporalAway(f"Temporal does not answer: {type(error).__name__}") from error
    return orphaned


async def _end(client: Client, order_id: UUID) -> None:
    try:
        await client.get_workflow_handle(workflow_id(order_id)).terminate(reason=REASON)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended by itself meanwhile
            raise


def _batches(ids: frozenset[UUID]) -> Iterator[list[UUID]]:
    each = iter(ids)
    while some := list(itertools.islice(each, BATCH)):
        yield some
