"""Whatever is asked of the warehouse at once, it answers as if it had been asked in some order.

Several replicas of the real Stock on a real database, several calls at the same moment, copies of
one order among them; after each step a dictionary has to be able to explain all answers, and the
invariants have to hold in the ledger.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import inventory_api.seed
from inventory_api.contracts import Line
from inventory_api.stock import Stock
from inventory_api.verdicts import OtherLines
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.ledger import broken_promises
from tests.support.stock_model import (
    CommitOrRelease,
    Model,
    Operation,
    Outcome,
    Reserve,
    Restock,
    one_after_the_other,
)
from tests.support.stock_replicas import new_sku, replicas

ORDERS = 4
SKUS = 3

positions = st.integers(0, SKUS - 1)
wanted = st.dictionaries(positions, st.integers(1, 5), min_size=1, max_size=SKUS)
# An operation, still without its example's own order ids and SKUs.
operations = st.one_of(
    st.tuples(st.just("reserve"), st.integers(0, ORDERS - 1), wanted),
    st.tuples(st.just("commit"), st.integers(0, ORDERS - 1), st.none()),
    st.tuples(st.just("release"), st.integers(0, ORDERS - 1), st.none()),
    st.tuples(st.just("restock"), positions, st.tuples(st.sampled_from("ab"), st.integers(1, 2))),
)
crowds = st.lists(st.tuples(operations, st.integers(0, 2)), min_size=1, max_size=5)


class Replicas:
    """Three replicas and a reader of the ledger, in the loop of their own thread."""

    def __init__(
        self, loop_thread: EventLoopThread, dsn: str, stocks: list[Stock], reader: Any
    ) -> None:
        self.loop_thread = loop_thread
        self.dsn = dsn
        self.stocks = stocks
        self.reader = reader


async def ask(stock: Stock, operation: Operation) -> Outcome:
    """Return the warehouse's answer in the model's words."""
    match operation:
        case Reserve(order_id, lines):
            try:
                verdict = await stock.reserve(order_id, lines)
            except OtherLines:
                return ("other lines",)
        case CommitOrRelease(order_id, "committed"):
            verdict = await stock.commit(order_id)
        case CommitOrRelease(order_id, _):
            verdict = await stock.release(order_id)
        case Restock(sku, key, quantity):
            restocked = await stock.restock(sku, key, quantity)
            assert restocked.level is not None
            level = restocked.level
            return (restocked.replayed, restocked.conflict, level.on_hand, level.reserved)
    return (verdict.state, verdict.replayed, verdict.shortages)


async def insist(stock: Stock, operation: Operation) -> Outcome:
    """Ask until there is an answer: who is the victim of a deadlock has had no effect.

    A hold that is written between two looks of a release can lead to one. The services meet
    their lock limit first, answer 503 and are asked again.
    """
    while True:
        with contextlib.suppress(asyncpg.DeadlockDetectedError):
            return await ask(stock, operation)


class StockMachine(RuleBasedStateMachine):
    """The real warehouse and its model, step by step."""

    site: Replicas

    @initialize(shelves=st.lists(st.integers(0, 12), min_size=SKUS, max_size=SKUS))
    def open(self, shelves: list[int]) -> None:
        self.skus = [new_sku() for _ in shelves]
        self.orders = [uuid4() for _ in range(ORDERS)]
        self.model = Model({sku: [n, 0] for sku, n in zip(self.skus, shelves, strict=True)})
        delivery = dict(zip(self.skus, shelves, strict=True))
        self.site.loop_thread.run(inventory_api.seed.seed(self.site.dsn, delivery))

    @rule(crowd=crowds)
    def ask_at_once(self, crowd: list[tuple[tuple[str, int, Any], int]]) -> None:
        asked = [(self._operation(*drawn), replica) for drawn, replica in crowd]
        answers, shelves = self.site.loop_thread.run(self._ask_all(asked))
        told = [(operation, answer) for (operation, _), answer in zip(asked, answers, strict=True)]
        after = one_after_the_other(self.model, told, shelves)
        assert after is not None, (self.model, told, shelves)
        self.model = after

    @rule(order=st.integers(0, ORDERS - 1), quantities=wanted, copies=st.integers(2, 20))
    def deliver_copies(self, order: int, quantities: dict[int, int], copies: int) -> None:
        operation = self._operation("reserve", order, quantities)
        asked = [(operation, number % len(self.site.stocks)) for number in range(copies)]
        answers, shelves = self.site.loop_thread.run(self._ask_all(asked))
        first = self.model.do(operation)
        repeated = self.model.do(operation)
        assert sorted(map(repr, answers)) == sorted(map(repr, [first] + [repeated] * (copies - 1)))
        assert shelves == self.model.shelves

    @invariant()
    def the_ledger_holds(self) -> None:
        assert self.site.loop_thread.run(broken_promises(self.site.reader)) == {}

    def _operation(self, kind: str, position: int, detail: Any) -> Operation:
        if kind == "restock":
            key, quantity = detail
            return Restock(self.skus[position], f"{key} {self.skus[0]}", quantity)
        order_id: UUID = self.orders[position]
        if kind == "reserve":
            lines = (Line(sku=self.skus[at], quantity=n) for at, n in detail.items())
            return Reserve(order_id, tuple(lines))
        return CommitOrRelease(order_id, {"commit": "committed", "release": "released"}[kind])

    async def _ask_all(
        self, asked: list[tuple[Operation, int]]
    ) -> tuple[list[Outcome], dict[str, list[int]]]:
        stocks = self.site.stocks
        answers = await asyncio.gather(
            *(insist(stocks[replica], operation) for operation, replica in asked)
        )
        found = await stocks[0].levels(len(self.skus), None, self.skus, None)
        levels = {level.sku: [level.on_hand, level.reserved] for level in found}
        return list(answers), {sku: levels[sku] for sku in self.skus}


@pytest.fixture
def site(loop_thread: EventLoopThread, databases: Databases) -> Iterator[Replicas]:
    with (
        databases.fresh("inventory") as dsn,
        loop_thread.entered(replicas(dsn, 3, size=6)) as stocks,
    ):
        reader = loop_thread.run(asyncpg.connect(dsn))
        yield Replicas(loop_thread, dsn, stocks, reader)
        loop_thread.run(reader.close())


def play(site: Replicas, *phases: Phase, same_each_time: bool = False) -> None:
    machine = type("WarehouseOnSite", (StockMachine,), {"site": site})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=10,
            deadline=None,
            database=None,
            derandomize=same_each_time,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_warehouse_behaves_like_a_dictionary(site: Replicas) -> None:
    play(site, Phase.generate, Phase.shrink)


@pytest.mark.parametrize(
    ("function", "right", "wrong"),
    [
        ("commit_or_release", "IF target = 'released' THEN", "IF false THEN"),
        ("commit_or_release", "WHEN 'committed' THEN gone.quantity", "WHEN 'committed' THEN 0"),
        ("commit_or_release", "reserved = reserved - gone.quantity", "reserved = reserved"),
        ("commit_or_release", "FILTER (WHERE l.state = 'held')", "FILTER (WHERE l.state <> 'x')"),
        ("reserve_orders", "free[spot] < line_quantity[j]", "false"),
        ("reserve_orders", "r.request_digest <> digests[o.n]", "false"),
        ("reserve_orders", "IF NOT decided[i] THEN", "IF true THEN"),
        ("restock_once", "IF FOUND THEN", "IF false THEN"),
    ],
    ids=[
        "no tombstones",
        "shipping leaves the shelf full",
        "holds are never given back",
        "settling twice",
        "overselling",
        "other lines under the same order",
        "a copy decided anew",
        "deliveries counted twice",
    ],
)
def test_a_warehouse_with_this_mistake_would_be_found_out(
    site: Replicas, function: str, right: str, wrong: str
) -> None:
    query = "SELECT pg_get_functiondef($1::regproc)"
    text = site.loop_thread.run(site.reader.fetchval(query, function))
    assert right in text
    site.loop_thread.run(site.reader.execute(text.replace(right, wrong)))
    # what went wrong once stays in the ledger, so a repetition may fail elsewhere: that is Flaky
    with pytest.raises((AssertionError, asyncpg.PostgresError, Flaky)):
        play(site, Phase.generate, same_each_time=True)
