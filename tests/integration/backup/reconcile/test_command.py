"""The command `valerix reconcile`, on a stack that does not run and on one that does."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from backup.reconcile.contracts import Rule
from deploy.local.postgres.server import EmbeddedPostgres
from tests.support.command_line import CommandLine
from tests.support.trail.copies import Copy, take_copy

# What a restore to the moment before the first order would leave; superusers may.
FORGET = """
SET session_replication_role = replica;
DELETE FROM movements WHERE order_id IS NOT NULL;
DELETE FROM reservations;
UPDATE stock s SET reserved = 0,
    on_hand = (SELECT quantity FROM movements m WHERE m.sku = s.sku AND operation = 'initial');
"""


def postgres_of(line: CommandLine) -> EmbeddedPostgres:
    """Return the running cluster of the stack in the command line's home."""
    postgres = EmbeddedPostgres(
        line.home.postgres,
        port=line.ports.postgres,
        logs=line.home.logs,
        passwords=line.home.secrets / "postgres",
    )
    postgres.read_passwords()
    return postgres


async def forget_in_inventory(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.admin_dsn("inventory"))
    try:
        await connection.execute(FORGET)
    finally:
        await connection.close()


async def inventory_of(postgres: EmbeddedPostgres) -> Copy:
    return await take_copy(postgres.dsn("inventory"), "inventory")


def report_in(said: str) -> dict[str, Any]:
    """Return the report that follows the lines of progress."""
    found: dict[str, Any] = json.loads(said[said.index("\n{") :])
    return found


async def test_a_stack_is_reconciled_while_it_runs_and_while_it_does_not(tmp_path: Path) -> None:
    async with CommandLine(tmp_path / "home") as line:
        up = await line.up()
        assert (await line.order("MUG-BLUE=2"))[0] == 0
        code, said = await line.run("reconcile")
        assert (code, "Violations left: 0." in said) == (0, True), said

        postgres = postgres_of(line)
        await forget_in_inventory(postgres)
        before = await inventory_of(postgres)
        code, said = await line.run("reconcile", "--dry-run")
        assert code == 1
        assert "Would be repaired:\n  1 × shipped, but unknown to inventory" in said
        assert await inventory_of(postgres) == before

        up.terminate()
        await up.wait()
        code, said = await line.run("reconcile", "--json")
        assert code == 0, said
        assert report_in(said)["repaired"] == {Rule.SHIP_UNKNOWN: 1}
        code, said = await line.run("reconcile", "--dry-run", "--json")
        assert (code, report_in(said)["repaired"]) == (0, {})


async def test_a_home_without_a_stack_is_left_without_one(tmp_path: Path) -> None:
    async with CommandLine(tmp_path / "home") as line:
        code, said = await line.run("reconcile")
    assert code == 1
    assert "there is no stack in" in said
    assert not line.home.folder.exists()


async def test_goods_that_left_for_a_lost_order_are_listed_for_a_person(tmp_path: Path) -> None:
    async with CommandLine(tmp_path / "home") as line:
        await line.up()
        for _ in range(2):
            assert (await line.order("MUG-BLUE=2"))[0] == 0
        connection = await asyncpg.connect(postgres_of(line).admin_dsn("orders"))
        try:
            lost: UUID = await connection.fetchval("SELECT order_id FROM orders LIMIT 1")
            await connection.execute("SET session_replication_role = replica")
            await connection.execute("DELETE FROM orders WHERE order_id = $1", lost)
        finally:
            await connection.close()
        for command in (("reconcile",), ("reconcile", "--dry-run")):
            code, said = await line.run(*command)
            assert code == 1
            assert f"{lost}: committed-unordered; orders say nothing" in said
            assert "2 × MUG-BLUE" in said
            assert "Violations left: 0." in said
        code, said = await line.run("reconcile", "--decided", str(lost), "--note", "billed by hand")
        assert (code, "billed by hand" in said) == (0, True), said
        code, said = await line.run("reconcile", "--dry-run")
        assert (code, "Decided by people before: 1." in said) == (0, True), said
        code, said = await line.run("reconcile", "--decided", str(lost), "--note", "again")
        assert (code, "is not on the list" in said) == (1, True), said
