"""The nightly comparison on a real cluster, by the role of backups: it only finds."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from backup.nightly.compare import DatabaseComparer, NotCompared
from backup.reconcile import books
from backup.reconcile.contracts import ForPeople, Rule
from backup.reconcile.decisions import Decisions
from backup.reconcile.rules import WORDS
from deploy.local.ports import free_port
from deploy.local.postgres.server import BACKUP, EmbeddedPostgres
from deploy.local.schema import migrate_and_seed
from inventory_api.contracts import Line
from tests.support.serving import PATIENT, serve_inventory
from tests.support.trail.agreement import contents
from tests.support.trail.sagas_by_hand import Ordered, Step, by_hand

LINES = (Line(sku="MUG-BLUE", quantity=2),)


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A cluster with backups, whose role for them reads everything."""
    async with EmbeddedPostgres(
        tmp_path / "cluster", fsync=False, trail=tmp_path / "trail"
    ) as running:
        await migrate_and_seed(running.dsn)
        yield running


def comparer(postgres: EmbeddedPostgres, folder: Path, **other: str) -> DatabaseComparer:
    addresses = {name: postgres.dsn(name, BACKUP) for name in ("orders", "inventory")} | other
    return DatabaseComparer(
        addresses["orders"], addresses["inventory"], Decisions(folder / "decisions.json")
    )


async def test_what_disagrees_is_found_and_left_as_it_is(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    addresses = postgres.dsn("orders"), postgres.dsn("inventory")
    compares = comparer(postgres, tmp_path)
    empty = await compares.compare(None)
    assert (empty.orders, empty.violations, empty.for_people) == (0, 0, 0)
    with serve_inventory(addresses[1], **PATIENT) as inventory:
        async with by_hand(addresses[0], inventory.url) as hands:
            shipped, lost = Ordered(1, LINES), Ordered(2, LINES)
            await hands.take([Step(order, "accept") for order in (shipped, lost)])
            await hands.ship(shipped.order_id, LINES)
            agreed = await compares.compare(None)
            # on its way: nothing is held for an order that is new
            assert (agreed.orders, agreed.open_orders, agreed.violations) == (2, 1, 0)

            await hands.take([Step(lost, "tell", "shipped")])
            assert await hands.warehouse.reserve(uuid4(), LINES) == "held"
            nobodys = uuid4()
            assert await hands.warehouse.reserve(nobodys, LINES) == "held"
            assert await hands.warehouse.commit(nobodys) == "committed"
    before = await contents(*addresses)
    found = await compares.compare(None)
    assert await contents(*addresses) == before
    assert (found.violations, found.for_people, found.decided) == (2, 1, 0)
    assert found.found == tuple(
        f"1 × {WORDS[rule]}" for rule in (Rule.RELEASE_UNORDERED, Rule.SHIP_UNKNOWN)
    )

    about = ForPeople(
        order_id=nobodys,
        rule=Rule.COMMITTED_UNORDERED,
        what="",
        advice="",
        status=None,
        state="committed",
        lines=LINES,
        at=found.at,
    )
    Decisions(tmp_path / "decisions.json").add(about, "billed by hand")
    found = await compares.compare(None)
    assert (found.violations, found.for_people, found.decided) == (2, 0, 1)


async def test_a_database_that_cannot_be_reached_is_named(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    nobody = f"postgresql://backup@127.0.0.1:{free_port()}/inventory"
    with pytest.raises(NotCompared, match="the database of inventory cannot be reached"):
        await comparer(postgres, tmp_path, inventory=nobody).compare(None)
    with pytest.raises(NotCompared, match="that of inventory cannot be reached"):
        await comparer(postgres, tmp_path, orders=nobody, inventory=nobody).compare(None)


async def test_neither_the_role_nor_the_connection_can_change_anything(
    postgres: EmbeddedPostgres,
) -> None:
    change = "DELETE FROM movements"
    reader = await asyncpg.connect(postgres.dsn("inventory", BACKUP))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute(change)
    await reader.close()
    # as the command has it, whose roles own what they read
    addresses = postgres.dsn("orders"), postgres.dsn("inventory")
    async with books.opened(*addresses, 0.0, read_only=True) as opened:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await opened._inventory.execute(change)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await opened.request_cancel(uuid4())
