"""Changes of the saga that orders under way would not survive: each has to be noticed."""

from temporalio import workflow

from chaos.nemesis.workflow_release import MEMO
from workflows.contracts import WORKFLOW, OrderInput, OrderOutcome
from workflows.order import OrderWorkflow


@workflow.defn(name=WORKFLOW)
class ShipsFirst(OrderWorkflow):
    """Commits before it reserves."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        await self._ship()
        return await super().run(order)


@workflow.defn(name=WORKFLOW)
class Hesitates(OrderWorkflow):
    """Waits a second, with a timer that no history has."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        await workflow.sleep(1)
        return await super().run(order)


@workflow.defn(name=WORKFLOW)
class SaysNothing(OrderWorkflow):
    """Leaves out the record of how the order ended."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        return await super().run(order)

    async def _record(self) -> None:
        self._timeline.stored = self._timeline.status


@workflow.defn(name=WORKFLOW)
class PacksUnguarded(OrderWorkflow):
    """Does what a later release does, without asking whether the order is an older one."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        return await super().run(order)

    def _ready_to_ship(self) -> None:
        super()._ready_to_ship()
        workflow.upsert_memo({MEMO: 1})


MUTANTS = (ShipsFirst, Hesitates, SaysNothing, PacksUnguarded)
