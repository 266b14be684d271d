"""A fault before COMMIT strikes in the batch that production writes, and there only its order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

import inventory_api.seed
from chaos.injection import inventory_service, order_service
from chaos.injection.attempts import attempt
from chaos.injection.commit_faults import CommitFaults
from chaos.injection.injector import InjectedError, Injector
from chaos.injection.inventory_service import ReservationsWithFaults
from chaos.injection.order_service import StoreWithFaults
from chaos.injection.rules import Call, FaultRule
from chaos.nemesis.tcp_proxy import TcpProxy
from inventory_api.contracts import Line
from inventory_api.stock import Stock
from inventory_api.verdicts import Verdict
from order_api.contracts import order_id_for
from order_api.db.notifier import Notifier
from service_kit.http.answer_instead import AnswerInstead
from service_kit.postgres import group_commit, pool
from tests.support.database_checks import until
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.ledger import broken_promises
from tests.support.new_orders import new_order
from tests.support.serving import patient_store

ERROR = FaultRule(name="error", point="inventory.before_commit", fault="error", share=0.2, seed=3)
STALL = ERROR.model_copy(update={"name": "stall", "fault": "delay", "delay_s": 30.0})
# A machine that stands still for some seconds must not be over a deadline before the fault strikes.
BEYOND_A_STALL_S = 7.0
Batches = list[tuple[str, Collection[UUID]]]


@pytest.fixture(autouse=True)
def batches_are_taken_apart_however_busy_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Who is left after a second gets the error, too, and this machine may be slow."""
    with patient_store():
        monkeypatch.setattr(group_commit, "SPLIT_FOR_S", 60.0)
        yield


@pytest.fixture
def dsn(loop_thread: EventLoopThread, databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        loop_thread.run(inventory_api.seed.seed(dsn, {"MUG": 1_000, "LOCKED": 1_000}))
        yield dsn


class Warehouse:
    """The stock among faults, and the statements that it has sent."""

    def __init__(self, dsn: str, deadline_s: float, lock_timeout_s: float = 30.0) -> None:
        self._dsn = dsn
        self._deadline_s = deadline_s
        self._lock_timeout_s = lock_timeout_s
        self.injector = Injector("inventory")
        self.batches: Batches = []
        self.commits = CommitFaults(self.injector, ERROR.point, self._effect_of)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self.connections = await pool.create(
            self._dsn, name="test", size=8,
            lock_timeout_s=self._lock_timeout_s, statement_timeout_s=40,
            extended=self.commits.extended,
        )  # fmt: skip
        stock = Stock(self.connections, deadline_s=self._deadline_s)
        self.calls = ReservationsWithFaults(stock, self.injector, self.commits)
        async with self.injector.using(self.connections):
            yield
        self.connections.terminate()

    def _effect_of(self, query: str, arguments: tuple[Any, ...]) -> Any:
        effect = inventory_service.effect_of(query, arguments)
        if effect is not None:
            self.batches.append((effect[0], list(effect[1])))
        return effect

    async def reserve(self, order_id: UUID, sku: str = "MUG", try_number: int = 1) -> Verdict:
        attempt.set(try_number)  # of this task alone
        return await self.calls.reserve(order_id, (Line(sku=sku, quantity=1),))

    async def fired(self) -> list[tuple[UUID, str, int]]:
        found = await self.injector.evidence(0, 1000)
        return [(row["order_id"], row["operation"], row["attempt"]) for row in found]

    async def states(self) -> dict[UUID, str]:
        rows = await self.connections.fetch("SELECT order_id, state FROM reservations")
        return {row["order_id"]: row["state"] for row in rows}


async def at_once(*calls: Coroutine[Any, Any, Verdict]) -> list[Verdict | BaseException]:
    return await asyncio.gather(*calls, return_exceptions=True)


def victims_of(rule: FaultRule, orders: Sequence[UUID], operation: str = "reserve") -> set[UUID]:
    hit = {order for order in orders if rule.hits(rule.point, Call(order, operation))}
    assert 0 < len(hit) < len(orders), "a seed that hits some"
    return hit


def orders(count: int) -> list[UUID]:
    return [UUID(int=0xFACE << 64 | n) for n in range(count)]


async def test_an_error_takes_its_order_out_of_the_batch_and_no_other(dsn: str) -> None:
    warehouse, everybody = Warehouse(dsn, deadline_s=60), orders(40)
    async with warehouse.open():
        await warehouse.injector.put(ERROR)
        answers = await at_once(*(warehouse.reserve(order) for order in everybody))
        victims = victims_of(ERROR, everybody)
        failed = {
            order
            for order, answer in zip(everybody, answers, strict=True)
            if isinstance(answer, AnswerInstead)
        }
        assert failed == victims
        held = {answer.state for answer in answers if isinstance(answer, Verdict)}
        assert held == {"held"}
        assert await warehouse.states() == dict.fromkeys(set(everybody) - victims, "held")
        # once each, though the batch was written again in halves
        assert sorted(await warehouse.fired()) == sorted((v, "reserve", 1) for v in victims)
        shared = [batch for _, batch in warehouse.batches if victims & set(batch)]
        assert max(len(batch) for batch in shared) > 10, "with the others, as in production"
        again = await at_once(*(warehouse.reserve(order, try_number=2) for order in victims))
        assert [answer.state for answer in again if isinstance(answer, Verdict)] == (
            ["held"] * len(victims)
        )
    assert await balanced(dsn)


async def test_a_stall_meets_the_deadline_of_production_and_leaves_nothing(dsn: str) -> None:
    warehouse, everybody = Warehouse(dsn, deadline_s=BEYOND_A_STALL_S), orders(20)
    async with warehouse.open():
        await warehouse.injector.put(STALL)
        victims = victims_of(STALL, everybody)
        victim = min(victims)
        with pytest.raises(TimeoutError):
            await warehouse.reserve(victim)
        assert victim not in await warehouse.states()
        assert await warehouse.fired() == [(victim, "reserve", 1)]
        # the caller's copy of the same attempt: a fault fires once
        assert (await warehouse.reserve(victim)).state == "held"
    assert await balanced(dsn)


async def test_a_silent_database_does_not_hold_a_batch_beyond_its_deadline(dsn: str) -> None:
    port = urlsplit(dsn).port
    assert port is not None
    async with TcpProxy(port) as proxy:
        warehouse = Warehouse(dsn.replace(f":{port}/", f":{proxy.port}/"), BEYOND_A_STALL_S)
        victim = min(victims_of(STALL, orders(20)))
        async with warehouse.open():
            await warehouse.injector.put(STALL)
            stalled = asyncio.create_task(warehouse.reserve(victim))
            await until(warehouse.fired, 30, "the fault strikes")
            await proxy.shut()
            # It never opens again: a ROLLBACK would be waited for until the end of this test.
            async with asyncio.timeout(60):
                with pytest.raises(TimeoutError):
                    await stalled


async def test_a_locked_shelf_is_told_apart_from_a_fault_in_the_same_batch(dsn: str) -> None:
    warehouse, everybody = Warehouse(dsn, deadline_s=60, lock_timeout_s=0.2), orders(20)
    told: dict[UUID, Any] = {}
    holder = await asyncpg.connect(dsn)
    async with warehouse.open():
        await warehouse.injector.put(ERROR)
        victims = victims_of(ERROR, everybody)
        async with holder.transaction():
            await holder.fetch("SELECT FROM stock WHERE sku = 'LOCKED' FOR UPDATE")
            locked = {order for n, order in enumerate(everybody) if n % 2} - victims
            asking = list(everybody)
            for _ in range(10):
                answers = await at_once(
                    *(
                        warehouse.reserve(order, "LOCKED" if order in locked else "MUG")
                        for order in asking
                    )
                )
                told |= {
                    order: type(answer) if isinstance(answer, BaseException) else answer.state
                    for order, answer in zip(asking, answers, strict=True)
                }
                # on a busy machine another batch may hold the open shelf for too long as well
                late = {o for o, said in told.items() if said is asyncpg.LockNotAvailableError}
                asking = sorted(late - locked)
                if not asking:
                    break
    await holder.close()
    assert {order for order, said in told.items() if said is AnswerInstead} == victims
    assert {order for order, said in told.items() if said == "held"} == (
        set(everybody) - victims - locked
    )
    assert {told[order] for order in locked} == {asyncpg.LockNotAvailableError}
    assert await balanced(dsn)


async def test_a_commit_and_a_release_of_one_order_are_told_apart(dsn: str) -> None:
    warehouse, order = Warehouse(dsn, deadline_s=60), uuid4()
    rule = ERROR.model_copy(update={"share": 1.0, "operations": ("commit",)})
    async with warehouse.open():
        await warehouse.reserve(order)
        await warehouse.injector.put(rule)
        with pytest.raises(AnswerInstead):
            await warehouse.calls.commit(order)
        assert await warehouse.states() == {order: "held"}
        assert (await warehouse.calls.release(order)).state == "released"
        assert await warehouse.fired() == [(order, "commit", 1)]


async def balanced(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    broken = await broken_promises(connection)
    await connection.close()
    return broken == {}


async def test_an_order_that_fails_before_its_commit_leaves_its_neighbours_stored(
    orders_database: str,
) -> None:
    injector = Injector("orders")
    commits = CommitFaults(injector, "order.before_commit", order_service.effect_of)
    rule = FaultRule(name="no", point="order.before_commit", fault="error", share=0.2, seed=1)
    connections = await pool.create(
        orders_database, name="test", size=8, lock_timeout_s=10, statement_timeout_s=10,
        extended=commits.extended,
    )  # fmt: skip
    async with injector.using(connections), Notifier(connections) as notifier:
        await injector.put(rule)
        store = StoreWithFaults(connections, notifier, injector, commits)
        keys = {order_id_for("alice", f"key-{n}"): f"key-{n}" for n in range(40)}
        answers = await asyncio.gather(
            *(store.accept(new_order(key)) for key in keys.values()), return_exceptions=True
        )
        victims = victims_of(rule, [*keys], "accept")
        failed = {
            order_id
            for order_id, answer in zip(keys, answers, strict=True)
            if isinstance(answer, InjectedError)
        }
        assert failed == victims
        rows = await connections.fetch("SELECT order_id FROM orders")
        assert {row["order_id"] for row in rows} == set(keys) - victims
        transactions = await connections.fetchval("SELECT count(DISTINCT tx) FROM order_events")
        assert transactions < len(keys) - len(victims), "written together all the same"
        again = await asyncio.gather(*(store.accept(new_order(keys[each])) for each in victims))
        assert all(accepted.created for accepted in again), "a fault fires once"
        await injector.remove(rule.name)
    connections.terminate()


def test_the_path_through_a_batch_is_the_same_with_tracing_on() -> None:
    """The two extensions of a connection stand on each other."""

    class Traced(asyncpg.Connection):
        pass

    extended: Callable[[Any], Any] = CommitFaults(
        Injector("orders"), "order.before_commit", order_service.effect_of
    ).extended
    assert issubclass(extended(Traced), Traced)
