"""The checker on trial: eight ways to build the warehouse wrong, each of which it has to notice."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

import inventory_api.seed
from activities.inventory import HttpTimeouts, InventoryActivities
from chaos.checker.databases import read_warehouse
from chaos.checker.invariants import stock_checks
from chaos.checker.observations import Observations, OrderRow
from chaos.checker.orders import ends_as_promised
from chaos.client.history import Entry
from chaos.injection.injector import PUT_RULE
from chaos.injection.rules import Call, FaultRule
from chaos.nemesis.fault_proxy import Evidence, FaultProxy, call_at_inventory
from chaos.scenarios.catalogue import EFFECTS
from chaos.scenarios.network_faults import NetworkFault
from chaos.scenarios.workload import Crowd, PlannedOrder, plan
from deploy.local.ports import free_port
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.child import ChildSpec
from deploy.local.process.probes import answers_ok
from deploy.local.process.supervisor import SupervisedProcess
from deploy.local.settings import PROJECT
from service_kit.http.tokens import issue
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.mutants.settling import Settler
from tests.support.mutants.stock import UNCHECKED, UNGUARDED
from tests.support.system_under_test import READY_WITHIN_S

KEY = "the key of a test, long enough for HS256"
SEED = 5
RULES = (
    FaultRule(
        name="error-after-commit", point="inventory.after_commit", fault="error", share=0.2,
        operations=EFFECTS, seed=SEED,
    ),
    FaultRule(
        name="killed-after-commit", point="inventory.after_commit", fault="crash", share=0.03,
        operations=EFFECTS, seed=SEED,
    ),
    # In a warehouse that writes in two transactions, this is between the two.
    FaultRule(
        name="killed-before-commit", point="inventory.before_commit", fault="crash", share=0.05,
        operations=EFFECTS, seed=SEED,
    ),
)  # fmt: skip
# A death costs a start. A warehouse that forgets, or writes in two goes, is known by nothing else.
MORTAL = frozenset({"key in another transaction", "dedupe in memory only"})
# Not a delay inside the warehouse, which the kills above would end as often as not.
KEPT_BACK = NetworkFault(
    name="kept-back", point="wire.inventory", fault="black_hole", share=0.2,
    operations=("reserve",), seed=SEED,
)  # fmt: skip
NETWORK_FAULTS = (
    KEPT_BACK,
    NetworkFault(
        name="wire-duplicate", point="wire.inventory", fault="duplicate", share=0.2, seed=SEED
    ),
)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    folder = tmp_path_factory.mktemp("mutants")
    with (
        EventLoopThread() as loop_thread,
        loop_thread.entered(EmbeddedPostgres(folder, fsync=False)) as postgres,
    ):
        found = Databases(loop_thread, postgres)
        found.prepare()
        yield found


def orders() -> tuple[PlannedOrder, ...]:
    """Return more buyers of the last pieces than there are, some of whom leave in doubt."""
    planned = plan(SEED, 110, 40.0, Crowd(scarce=0.6))
    return tuple(
        replace(order, cancels=True)
        if KEPT_BACK.hits(KEPT_BACK.point, Call(order.order_id, "reserve"))
        else order
        for order in planned
    )


@asynccontextmanager
async def warehouse(
    dsn: str, mutation: str, rules: tuple[FaultRule, ...], logs: Path
) -> AsyncIterator[list[int]]:
    """Run two replicas of a mutant and give their ports."""
    async with connected(dsn) as connection:
        await connection.execute(UNGUARDED)
        if mutation == "no check":
            await connection.execute(UNCHECKED)
        for rule in rules:
            await connection.execute(PUT_RULE, rule.name, rule.model_dump_json())
    replicas = [_replica(dsn, mutation, logs, number, free_port()) for number in (1, 2)]
    try:
        await asyncio.gather(*(process.start() for process, _ in replicas))
        await asyncio.gather(*(process.wait_ready(READY_WITHIN_S) for process, _ in replicas))
        yield [port for _, port in replicas]
    finally:
        await asyncio.gather(*(process.stop() for process, _ in replicas))


def _replica(
    dsn: str, mutation: str, logs: Path, number: int, port: int
) -> tuple[SupervisedProcess, int]:
    async def ready() -> bool:
        return await answers_ok(port)

    spec = ChildSpec(
        name=f"mutant-{number}",
        argv=(sys.executable, "-m", "tests.support.mutants"),
        ready=ready,
        cwd=PROJECT,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "MUTATION": mutation,
            "TOKEN_KEY": KEY,
            "FAULT_INJECTION": "true",
            "INVENTORY_DATABASE_URL": dsn,
            "INVENTORY_PORT": str(port),
        },
    )
    return SupervisedProcess(spec, logs), port


def placed(planned: tuple[PlannedOrder, ...], statuses: list[str]) -> Observations:
    """Return what is known of the orders but the warehouse: how each was asked for, and ended."""
    now = datetime.now(UTC)
    return Observations(
        planned=planned,
        history=[
            Entry(0.0, "invoke", "cancel" if again else "place", order.number,
                  str(order.order_id), 1)
            for order in planned
            for again in ((False, True) if order.cancels else (False,))
        ],
        orders=[
            OrderRow(
                order.order_id, order.customer, order.key, status, None,
                {line.sku: line.quantity for line in order.lines}, now, now,
            )
            for order, status in zip(planned, statuses, strict=True)
        ],
        events=[],
        movements=[],
        reservations={},
        shelves=[],
    )  # fmt: skip


async def trial(
    dsn: str, logs: Path, mutation: str, rules: tuple[FaultRule, ...], **caller: bool
) -> tuple[set[str], dict[str, str]]:
    """Return the invariants that the checker finds broken, and the first violation of each."""
    planned = orders()
    await inventory_api.seed.seed(dsn)
    async with (
        warehouse(dsn, mutation, rules, logs) as ports,
        FaultProxy("wire.inventory", call_at_inventory, Evidence()) as proxy,
        aiohttp.ClientSession() as session,
    ):
        proxy.upstreams, proxy.network_faults = ports, NETWORK_FAULTS
        activities = InventoryActivities(
            session, proxy.url, issue(KEY, "worker", "service"), HttpTimeouts(0.6, 5.0)
        )
        settler = Settler(activities, **caller)
        gate = asyncio.Semaphore(12)

        async def settle(order: PlannedOrder) -> str:
            async with gate:
                return await settler.settle(order)

        statuses = await asyncio.gather(*(settle(order) for order in planned))
        await proxy.quiet()
    movements, reservations, shelves, fired = await read_warehouse(dsn)
    assert {each.rule for each in fired} == {rule.name for rule in rules}
    observations = replace(
        placed(planned, statuses), movements=movements, reservations=reservations,
        shelves=shelves, fired=fired,
    )  # fmt: skip
    checks = [*stock_checks(observations), ends_as_promised(observations)]
    found = {check.name: check.violations[0] for check in checks if not check.holds}
    return set(found), found


async def test_the_checker_is_content_with_a_warehouse_that_is_right(
    databases: Databases, tmp_path: Path
) -> None:
    with databases.fresh("inventory") as dsn:
        broken, why = await trial(dsn, tmp_path, "none", RULES)
    assert broken == set(), why


@pytest.mark.parametrize(
    ("mutation", "invariant"),
    [
        ("no unique key", "I2"),
        ("key in another transaction", "I2"),
        ("key includes the attempt", "I2"),
        ("release without tombstone", "I7"),
        ("no check", "I8"),
        ("dedupe in memory only", "I2"),
    ],
)
async def test_a_mutant_of_the_warehouse_is_caught(
    databases: Databases, tmp_path: Path, mutation: str, invariant: str
) -> None:
    rules = RULES if mutation in MORTAL else RULES[:1]
    with databases.fresh("inventory") as dsn:
        broken, why = await trial(dsn, tmp_path, mutation, rules)
    assert invariant in broken, why


@pytest.mark.parametrize(
    ("mutation", "invariant"), [("error_is_failure", "I17b"), ("retries_without_key", "I12")]
)
async def test_a_mutant_of_the_caller_is_caught(
    databases: Databases, tmp_path: Path, mutation: str, invariant: str
) -> None:
    with databases.fresh("inventory") as dsn:
        broken, why = await trial(dsn, tmp_path, "none", RULES[:1], **{mutation: True})
    assert invariant in broken, why
