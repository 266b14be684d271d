"""Embedded Postgres: one cluster, a database for each owner, roles that cannot read each other.

Usable alone, as integration tests do::

    async with EmbeddedPostgres(folder) as postgres:
        pool = await asyncpg.create_pool(postgres.dsn("orders"))
"""

import os
import signal
import sys
from pathlib import Path

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres import archiving
from deploy.local.postgres.binaries import PostgresBinaries, find_binaries
from deploy.local.postgres.data_folder import (
    accepts_connections,
    build_cluster,
    data_version,
    end_orphan,
    environment,
    passwords_in,
)
from deploy.local.process.child import ChildSpec
from deploy.local.process.embedded_server import EmbeddedServer
from deploy.local.process.privileges import Account, unprivileged_account
from deploy.local.settings import PROJECT

DATABASES = ("orders", "inventory", "backup")
SUPERUSER = "postgres"
BACKUP = "backup"  # the role that takes backups, and owns the database of the same name

# A client takes from PG* variables whatever an address does not say: PGSSLMODE=require for a
# company's database would keep it from ours.
_NOT_FROM_THE_TERMINAL = (
    "sslmode=disable&sslnegotiation=postgres&target_session_attrs=any&gsslib=gssapi"
)

# For people and tools that work as a service's role: the services' own sessions have less. Who has
# forgotten an open transaction holds up subscribers and the cleaning of rows.
_IDLE_LIMIT = "idle_in_transaction_session_timeout = '60s'"
_ROLES = "SELECT rolname FROM pg_roles"
_DATABASES = "SELECT datname FROM pg_database"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # TCP on loopback with a password is the only door
    "password_encryption": "scram-sha-256",
    # four services with pools of 10 to 20, and room for a person and the tests
    "max_connections": "100",
    "shared_buffers": "64MB",  # the hot set of a shop is small; the whole stack has to fit in 1 GiB
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",  # fewer full-page images under a steady stream of orders
    "random_page_cost": "1.1",
    "jit": "off",  # short statements only
    # and /dev/shm of a small container is not enough for parallel ones
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    # stock rows are hot: their dead versions must go before they slow an update down
    "autovacuum_naptime": "15s",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "update_process_title": "off",
}
# Names that older majors do not know and would refuse to start with. Worker processes for I/O do
# not pay off at this size.
_SETTINGS_SINCE = {18: {"io_method": "sync"}}


class EmbeddedPostgres(EmbeddedServer):
    """A Postgres cluster in `folder`, listening on loopback only.

    The data is kept: a second start in the same folder finds it, also after `kill -9`.
    `fsync=False` is for tests that only kill processes and never the machine. `passwords` is
    the file that keeps them and `logs` the folder of `postgres.log`; both are in `folder`
    unless told. With `trail` (a folder as of `backup.trail_folder`) the log is archived there, and
    the role `backup` may take backups. `runs_python` is for a recovery: its commands are ours.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        fsync: bool = True,
        logs: Path | None = None,
        passwords: Path | None = None,
        trail: Path | None = None,
        runs_python: bool = False,
    ) -> None:
        # processes are recognised by this path
        super().__init__(folder.resolve(), logs or folder)
        self.data = self.folder / "data"
        self.port = port or free_port()
        self.fsync = fsync
        self.trail = None if trail is None else trail.resolve()
        self._runs_python = runs_python or trail is not None
        self._password_file = passwords or folder / "passwords"
        self._binaries: PostgresBinaries | None = None
        self._passwords: dict[str, str] = {}

    @property
    def binaries(self) -> PostgresBinaries:
        """The programs that fit the data, or the first that are found."""
        if self._binaries is None:
            self._binaries = find_binaries(data_version(self.data))
        return self._binaries

    @property
    def wal(self) -> Path | None:
        """Where the log of this cluster is archived; only once there is one."""
        if self.trail is None:
            return None
        from backup.trail_folder import TrailFolder

        return TrailFolder(self.trail).wal(archiving.system_identifier(self.data))

    def dsn(self, database: str, role: str | None = None) -> str:
        """Return `postgresql://…` of `database` as `role` (the role that owns it, unless told)."""
        role = role or (database if database in DATABASES else SUPERUSER)
        address = f"{role}:{self._passwords[role]}@{LOOPBACK}:{self.port}"
        return f"postgresql://{address}/{database}?{_NOT_FROM_THE_TERMINAL}"

    def admin_dsn(self, database: str = "postgres") -> str:
        """Return the superuser's address, who may create databases for tests and take backups."""
        return self.dsn(database, SUPERUSER)

    def read_passwords(self) -> None:
        """Make `dsn` work, also for who only wants to talk to a cluster that runs already."""
        roles = (SUPERUSER, *DATABASES)
        self._passwords = passwords_in(self._password_file, roles, data=self.data)

    async def prepare(self) -> None:
        """Make passwords and an initialised cluster, and end what an earlier run has left."""
        await super().prepare()
        account = self._account()
        if account is not None:
            # The server's account has to pass through; nobody else gets in.
            os.chown(self.folder, -1, account.gid)
            self.folder.chmod(0o710)
        self.read_passwords()
        await end_orphan(self.data)
        if data_version(self.data) is None:
            await build_cluster(
                self.data,
                binaries=self.binaries,
                account=account,
                superuser=SUPERUSER,
                password=self._passwords[SUPERUSER],
                log=self._logs / "initdb.log",
                fsync=self.fsync,
            )
        if self.trail is not None and self.wal is not None:
            archiving.make_archive(self.trail, self.wal, account)

    def give(self, *folders: Path) -> None:
        """Give folders and all in them to the account that the server runs as."""
        account = self._account()
        if account is None:
            return
        for folder in folders:
            for root, _, files in os.walk(folder):
                for path in (Path(root), *(Path(root, name) for name in files)):
                    account.take(path)

    def spec(self) -> ChildSpec:
        settings = dict(_SETTINGS, port=str(self.port), fsync="on" if self.fsync else "off")
        for since, extra in _SETTINGS_SINCE.items():
            if self.binaries.major >= since:
                settings |= extra
        if self.wal is not None:
            settings |= archiving.settings(self.wal, self.binaries.major)
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return ChildSpec(
            name="postgres",
            argv=(str(self.binaries.postgres), "-D", str(self.data), *arguments),
            ready=self._ready,
            env=environment(),
            cwd=Path("/"),
            account=self._account(),
            # Fast shutdown: disconnect everybody, checkpoint, end.
            stop_signal=signal.SIGINT,
            stop_within_s=30.0,
            # Immediate shutdown: gone in milliseconds, and the write-ahead log brings it all back.
            death_signal=signal.SIGQUIT,
            # Recovery after kill -9 reads that log first.
            ready_within_s=60.0,
        )

    async def set_up(self) -> None:
        """Create roles and databases and say who may connect; safe on every start."""
        from deploy.local.postgres.connection import connected

        async with connected(self.admin_dsn()) as connection:
            roles = {row["rolname"] for row in await connection.fetch(_ROLES)}
            present = {row["datname"] for row in await connection.fetch(_DATABASES)}
            for name in DATABASES:
                if name not in roles:
                    # DDL takes no parameters; fixed names and hex passwords need no quoting
                    password = self._passwords[name]
                    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
                await connection.execute(f"ALTER ROLE {name} SET {_IDLE_LIMIT}")
                if name not in present:
                    await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
            for name in (*DATABASES, "postgres", "template1"):
                await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        if self.trail is not None:
            async with connected(self.admin_dsn(BACKUP)) as connection:
                for statement in archiving.statements(BACKUP, DATABASES):
                    await connection.execute(statement)

    def _account(self) -> Account | None:
        needed = [self.binaries.postgres, self.binaries.share]
        if self._runs_python:
            needed += [Path(sys.executable), Path(sys.prefix), PROJECT / "backup"]
        if self.trail is not None and data_version(self.data) is not None and self.wal is not None:
            needed.append(self.wal)
        return unprivileged_account(self.data, needed)

    async def _ready(self) -> bool:
        ready = accepts_connections(self.data, self.port)
        if ready and self.trail is not None:
            archiving.begin_in_time(self.data)
        return ready
