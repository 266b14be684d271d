"""A proof: a capsule is restored to its end and compared with what was counted when it was made.

Whatever a restore on the worst day would meet, a proof meets on an ordinary one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from backup.capsule.contents import differences
from backup.capsule.manifest import Contents, SealedCapsule
from backup.capsule.open import OpenedCapsule, open_capsule
from backup.daily.parts import NotProven
from backup.restore.proofs import Proof, write_proof
from backup.restore.rows import count_rows
from backup.restore.scratch import scratch_in
from backup.restore.server import DATA, RecoveredServer, RecoveryServers, with_log
from backup.restore.sources import Say
from backup.restore_points.point_in_time import Target, prepare
from backup.restore_points.reach import Reach

SecretKey = Callable[[], str]

_DOING = "restoring a capsule for a look"


class RestoreProver:
    """Proves capsules on this machine, one at a time, and keeps the proofs beside them.

    `scratch` needs room for the databases and a week of their log. `secret_key` is asked for the
    key each time. `databases` are those whose contents are compared. `within_s` limits the whole,
    together with the time for its log (`with_log`). `reserve_bytes` stay free on the disk
    (`durable.require_room`): the shop is open.
    """

    def __init__(
        self,
        servers: RecoveryServers,
        secret_key: SecretKey,
        scratch: Path,
        databases: Sequence[str],
        within_s: float,
        say: Say = lambda _: None,
        *,
        reserve_bytes: int | None = None,
    ) -> None:
        self._servers = servers
        self._secret_key = secret_key
        self._scratch = scratch
        self._databases = databases
        self._within_s = within_s
        self._say = say
        self._reserve_bytes = reserve_bytes

    async def prove(self, capsule: SealedCapsule) -> None:
        """Raise NotProven unless a restore brings everything back."""
        proof = await self.proven(capsule)
        if not proof.holds:
            raise NotProven("; ".join(proof.differences))

    async def proven(self, capsule: SealedCapsule, *, from_store: str | None = None) -> Proof:
        """Restore a capsule, write its proof beside it, and return that.

        `from_store` names the store that the very file was fetched from. Raises `BackupProblem`
        if it is damaged, or cannot be opened.
        """
        began = time.monotonic()
        async with (
            asyncio.timeout(self._within_s) as limit,
            scratch_in(self._scratch, _DOING) as folder,
        ):
            self._say(f"reading and opening the capsule of {capsule.day}")
            opened = await asyncio.to_thread(
                open_capsule,
                capsule,
                self._secret_key(),
                folder / "opened",
                reserve_bytes=self._reserve_bytes,
            )
            manifest = opened.manifest
            allow_for_log(limit, manifest.reach)
            self._say("recovering it to its end, by Postgres itself")
            async with looked_at(opened, manifest.reach, Target(), self._servers) as server:
                self._say("comparing every ledger, reading every row")
                found = await _compared(manifest.contents, server, self._databases)
        proof = Proof(
            capsule_sha256=capsule.sha256,
            day=capsule.day,
            from_store=from_store,
            proven_at=datetime.now(UTC),
            seconds=time.monotonic() - began,
            covers_to=capsule.covers_to,
            differences=tuple(found),
        )
        write_proof(capsule.path.parent, capsule, proof)
        return proof


def allow_for_log(limit: asyncio.Timeout, found: Reach) -> None:
    """Put off a limit by the time that the log may take which is known now."""
    when = limit.when()
    assert when is not None, "a limit"
    limit.reschedule(with_log(when, found.segments()))


@asynccontextmanager
async def looked_at(
    opened: OpenedCapsule, found: Reach, target: Target, servers: RecoveryServers
) -> AsyncIterator[RecoveredServer]:
    """Run a server on an opened capsule, brought to the target, which archives nothing."""
    folder = opened.folder.with_name("recovered")
    folder.mkdir(mode=0o700)
    opened.base.rename(folder / DATA)
    prepare(folder / DATA, opened.wal, found, target, archiving=False)
    async with servers.recovered(folder, opened.wal, found.segments()) as server:
        yield server


async def _compared(
    contents: Contents, server: RecoveredServer, databases: Sequence[str]
) -> list[str]:
    try:
        dsns = {name: server.admin_dsn(name) for name in databases}
        found = await differences(contents, dsns)
        for dsn in dsns.values():
            await count_rows(dsn)
    except asyncpg.PostgresError as error:
        # A page that is damaged, a table that is gone, a database that is not there.
        return [f"the restored databases cannot be read: {error}"]
    return found
