"""A primary and a standby that follows it, and the failover from one to the other."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

import inventory_api.main
import inventory_api.seed
import order_api.db.schema
import order_api.db.seed
from deploy.local.ports import LOOPBACK
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.supervisor import SupervisedProcess
from service_kit.postgres.migrations import migrate


@dataclass(slots=True)
class Replicas:
    """Two servers, of which `first` is the primary until `fail_over`, and `second` from then on."""

    first: EmbeddedPostgres
    second: EmbeddedPostgres
    processes: dict[int, SupervisedProcess]

    def dsn(self, database: str) -> str:
        """Return the address that names both."""
        one, two = (f"{LOOPBACK}:{server.port}" for server in (self.first, self.second))
        return f"{self.first.dsn(database).replace(one, f'{one},{two}')}"

    async def fail_over(self) -> None:
        """Make `second` the primary; `first` lives on as its standby, at the same address."""
        await self.processes[self.first.port].stop()
        admin = await asyncpg.connect(self.second.admin_dsn())
        assert await admin.fetchval("SELECT pg_promote()")
        await admin.close()
        (self.first.data / "standby.signal").touch()
        with (self.first.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{self.second.admin_dsn()}'\n")
        self.processes[self.first.port] = await _started(self.first)


@asynccontextmanager
async def replicated(folder: Path) -> AsyncIterator[Replicas]:
    """Run both, with the real schemas and the demonstration shop in them."""
    async with AsyncExitStack() as stack:
        first = EmbeddedPostgres(folder / "first", fsync=False)
        async with first:
            await migrate(first.dsn("orders"), order_api.db.schema.MIGRATIONS)
            await migrate(first.dsn("inventory"), inventory_api.main.MIGRATIONS)
            await order_api.db.seed.seed(first.dsn("orders"))
            await inventory_api.seed.seed(first.dsn("inventory"))
        second = EmbeddedPostgres(
            folder / "second", fsync=False, passwords=folder / "first" / "passwords"
        )
        processes = {first.port: await _started(first)}
        found = Replicas(first, second, processes)
        stack.push_async_callback(_stop_all, processes)
        second.folder.mkdir(mode=0o700)
        await asyncio.to_thread(_copy, first, second.data)
        if account := second._account():
            for path in (second.data, *second.data.rglob("*")):
                account.take(path)
        processes[second.port] = await _started(second)
        yield found


async def _stop_all(processes: dict[int, SupervisedProcess]) -> None:
    for process in processes.values():
        await process.stop()


async def _started(server: EmbeddedPostgres) -> SupervisedProcess:
    """Start the server and wait until it answers, standby or not."""

    async def answers() -> bool:
        try:
            await (await asyncpg.connect(server.admin_dsn(), timeout=2.0)).close()
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        return True

    await server.prepare()
    process = SupervisedProcess(replace(server.spec(), ready=answers), server.folder)
    await process.start()
    await process.wait_ready()
    return process


def _copy(server: EmbeddedPostgres, data: Path) -> None:
    """Take a base backup that starts as a standby of `server`."""
    subprocess.run(
        [
            server.binaries.program("pg_basebackup"),
            f"--dbname={server.admin_dsn()}",
            f"--pgdata={data}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
    )
