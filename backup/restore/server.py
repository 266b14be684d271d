"""What restores need of a machine: who runs a server on a folder that is to be recovered."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from backup.restore_points.programs import PostgresPrograms
from backup.trail_folder import TrailFolder

DATA = "data"
PASSWORDS = "passwords"
# A full file of the log takes a slow machine half of this, one of a quiet half minute a few ms.
_LOG_FILE_WITHIN_S = 0.25


def with_log(within_s: float, log: Sequence[str]) -> float:
    """Return the limit of a recovery that reads these files, given that of one that reads none."""
    return within_s + _LOG_FILE_WITHIN_S * len(log)


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
        self, folder: Path, wal: Path, log: Sequence[str], trail: TrailFolder | None = None
    ) -> AbstractAsyncContextManager[RecoveredServer]:
        """Have a server recover `folder`/data, which is prepared for it, from the log in `wal`.

        `log` are the names of the files there that lead to the target or beyond, in their order.
        All roles get new passwords, kept in `folder`/passwords. When it is left, the server has
        ended cleanly. It is able to archive its log in `trail`, if it is told to. Without one it is
        for a look, and need not survive the machine.
        """
        ...
