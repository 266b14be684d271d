"""Workflow releases: later versions of the code, rolled out while orders are under way.

Each does what the ones before it did, and one thing more: the order's memo names the release that
packed it. As every change of the saga has to be, that is behind `workflow.patched`: an order that
was packed before the release came goes on as it began.
"""

from typing import ClassVar

from temporalio import workflow
from temporalio.client import Client

from workflows import order as released_code
from workflows.contracts import WORKFLOW, OrderInput, OrderOutcome
from workflows.order import OrderWorkflow

MEMO = "PackedByRelease"


@workflow.defn(name=WORKFLOW)
class LaterRelease(OrderWorkflow):
    """All releases up to `number`, one after the other."""

    number: ClassVar[int] = 0

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        """Do as before."""
        return await super().run(order)

    def _ready_to_ship(self) -> None:
        super()._ready_to_ship()
        for each in range(1, self.number + 1):
            if workflow.patched(f"release-{each}"):
                workflow.upsert_memo({MEMO: each})


def release(number: int) -> type[OrderWorkflow]:
    """Return the workflow code of a release, of which a process has one; 0 is the code as it is."""
    LaterRelease.number = number
    return LaterRelease if number else OrderWorkflow


async def packed_by(client: Client) -> frozenset[int]:
    """Return the releases that have packed orders, by the orders' own word."""
    orders = client.list_workflows(f"WorkflowType = '{WORKFLOW}'", page_size=1000)
    return frozenset({await order.memo_value(MEMO, 0) async for order in orders} - {0})


def take_over(number: int) -> None:
    """Have whatever this process imports from now on find this release in the code's place."""
    vars(released_code)["OrderWorkflow"] = release(number)
