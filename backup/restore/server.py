"""What restores need of a machine: who runs a server on a folder that is to be recovered."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from backup.restore_points.programs import PostgresPrograms
from backup.trail_folder import TrailFolder

DATA = "data"
PASSWORDS = "passwords"


class RecoveredServer(Protocol):
    """A server that is done with its recovery, on loopback."""

    def admin_dsn(self, database: str) -> str:
        """Return the superuser's address of a database."""
        ...


class RecoveryServers(Protocol):
    """Runs servers for recoveries; raises `BackupProblem` when one cannot be brought up."""

    @property
    def programs(self) -> PostgresPrograms:
        """Postgres's own programs."""
        ...

    def recovered(
        self, folder: Path, wal: Path, trail: TrailFolder | None = None
    ) -> AbstractAsyncContextManager[RecoveredServer]:
        """Have a server recover `folder`/data, which is prepared for it, from the log in `wal`.

        All roles get new passwords, kept in `folder`/passwords. When it is left, the server has
        ended cleanly. It is able to archive its log in `trail`, if it is told to. Without one it is
        for a look, and need not survive the machine.
        """
        ...
