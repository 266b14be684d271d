"""Servers for recoveries: brought to a target, given new passwords, then there to be looked at.

A data folder comes back with the passwords of its former life, which are lost with the old host or
are another home's. They are changed by the server program in single-user mode, which asks for none.
"""

import asyncio
import secrets
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from backup.errors import BackupProblem, ProgramFailed
from backup.restore.server import PASSWORDS, RecoveredServer, with_log
from backup.restore_points.point_in_time import forget_recovery
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.read_ahead import read_ahead
from backup.trail_folder import TrailFolder
from deploy.local.errors import StartRefused
from deploy.local.postgres import archiving
from deploy.local.postgres.binaries import find_binaries
from deploy.local.postgres.data_folder import environment
from deploy.local.postgres.server import DATABASES, SUPERUSER, EmbeddedPostgres
from deploy.local.process.child import ChildSpec
from deploy.local.process.privileges import Account, before_exec, unprivileged_account
from deploy.local.process.supervisor import SupervisedProcess
from deploy.local.state_dir import write_private

_PASSWORDS_WITHIN_S = 60.0
# One line each: single-user mode takes a line for a statement. A cluster of an earlier release may
# not have all roles yet; whoever starts it makes them, with the password that it finds in the file.
_CHANGE = (
    "DO $$BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
    " THEN ALTER ROLE {role} PASSWORD '{password}'; END IF; END$$;\n"
)


class LocalRecoveryServers:
    """Runs servers of the embedded Postgres; a recovery may take `within_s` beside its log."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s

    @property
    def programs(self) -> PostgresPrograms:
        """The programs of the installation that new clusters are made with."""
        return PostgresPrograms(find_binaries().folder)

    @asynccontextmanager
    async def recovered(
        self, folder: Path, wal: Path, log: Sequence[str], trail: TrailFolder | None = None
    ) -> AsyncIterator[RecoveredServer]:
        """Run a server on `folder`/data once it is recovered; see `RecoveryServers`."""
        try:
            server = _RecoveringPostgres(folder, wal, trail, with_log(self._within_s, log))
            await server.recover(log)
            await server.__aenter__()
        except StartRefused as refusal:
            raise ProgramFailed(f"the restored database did not start: {refusal.problem}") from None
        try:
            yield server
        finally:
            await server.__aexit__()


class _RecoveringPostgres(EmbeddedPostgres):
    """A server on a data folder of which only the files are known."""

    def __init__(self, folder: Path, wal: Path, trail: TrailFolder | None, within_s: float) -> None:
        kept = trail is not None
        super().__init__(folder, fsync=kept, passwords=folder / PASSWORDS, runs_python=True)
        self._within_s = within_s
        self._wal = wal
        self._logs_to_reach = [wal]
        self._new_trail = trail

    async def recover(self, log: Sequence[str]) -> None:
        """Let the server read the log up to the target, and end it; then change all passwords."""
        self.give(self.data)
        if self._new_trail is not None:
            wal = self._new_trail.wal(archiving.system_identifier(self.data))
            archiving.make_archive(self._new_trail.folder.resolve(), wal.resolve(), self._account())
            self._logs_to_reach.append(wal)
        self.give(*self._logs_to_reach)
        made = {role: secrets.token_hex(24) for role in (SUPERUSER, *DATABASES)}
        lines = "".join(f"{role}:{password}\n" for role, password in made.items())
        write_private(self._password_file, lines)
        await self.prepare()
        spec = self.spec()
        recovery = SupervisedProcess(spec, self._logs)
        give = None if spec.account is None else spec.account.take
        with read_ahead(log, self._wal, self.data, give):
            try:
                await recovery.start()
                await recovery.wait_ready()
            finally:
                await recovery.stop()
        forget_recovery(self.data)
        self.give(self.data)
        await self._change_passwords(made)

    def spec(self) -> ChildSpec:
        """Return how the server is run, with patience for a week of log.

        It keeps no file of the log for later use: those of the read-ahead have no room reserved.
        """
        spec = super().spec()
        return replace(
            spec,
            argv=(*spec.argv, "-c", "wal_recycle=off"),
            ready_within_s=self._within_s,
            stop_within_s=self._within_s,
        )

    def _account(self) -> Account | None:
        account = super()._account()
        to_the_log = unprivileged_account(self.data, self._logs_to_reach)
        return to_the_log if to_the_log is not None and to_the_log.bridge else account

    async def _change_passwords(self, made: Mapping[str, str]) -> None:
        spec = self.spec()
        # The same settings as in between, or it would not go on keeping its log for the archive.
        program, *options = spec.argv
        statements = "".join(
            _CHANGE.format(role=role, password=password) for role, password in made.items()
        )
        with warnings.catch_warnings():
            # as of every child: between fork and exec are four system calls
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            process = await asyncio.create_subprocess_exec(
                program,
                "--single",
                *options,
                SUPERUSER,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment(),
                cwd="/",
                preexec_fn=before_exec(spec.account, spec.death_signal),
            )
        try:
            async with asyncio.timeout(_PASSWORDS_WITHIN_S):
                said, _ = await process.communicate(statements.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode or b"ERROR" in said:
            # What it says may quote a statement, and so a password.
            raise BackupProblem("the restored database did not take new passwords")
