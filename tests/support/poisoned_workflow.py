"""The saga with a bug that only orders for two pieces meet."""

from temporalio import workflow

from workflows.contracts import WORKFLOW, OrderInput, OrderOutcome
from workflows.order import OrderWorkflow


@workflow.defn(name=WORKFLOW)
class PoisonedWorkflow(OrderWorkflow):
    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        if order.lines[0].quantity == 2:
            raise ZeroDivisionError("a bug")
        return await super().run(order)
