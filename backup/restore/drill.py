"""A drill: the newest copy in each store is restored to some second of its window, and timed."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import asyncpg

from backup.capsule.open import ROOM_TO_SPARE_BYTES, open_capsule
from backup.durable import require_room
from backup.errors import BackupProblem, NotCovered
from backup.restore.capsule_source import target_in
from backup.restore.moment import in_words
from backup.restore.proofs import Drill, write_drill
from backup.restore.prove import SecretKey, allow_for_log, looked_at
from backup.restore.rows import count_rows
from backup.restore.scratch import scratch_in
from backup.restore.server import RecoveryServers
from backup.restore.sources import Say
from backup.stores.store import Store


class RestoreDrill:
    """Rehearses the worst day: what a store has is fetched, opened and brought to some second.

    `folder` is where the outcome is kept. `dice` choose the second; `within_s` is for each store,
    and the log of its copy has time of its own (`with_log`). `reserve_bytes` stay free on the disk
    of `scratch` (`durable.require_room`).
    """

    def __init__(
        self,
        servers: RecoveryServers,
        secret_key: SecretKey,
        scratch: Path,
        databases: Sequence[str],
        folder: Path,
        *,
        within_s: float,
        dice: Random,
        say: Say,
        reserve_bytes: int | None = ROOM_TO_SPARE_BYTES,
    ) -> None:
        self._servers = servers
        self._secret_key = secret_key
        self._scratch = scratch
        self._databases = databases
        self._folder = folder
        self._within_s = within_s
        self._dice = dice
        self._say = say
        self._reserve_bytes = reserve_bytes

    async def run(self, stores: Sequence[Store]) -> Drill:
        """Restore from each store, one after the other; return and keep how it went."""
        began = time.monotonic()
        said: list[str] = []
        failed = 0
        for store in stores:
            try:
                said.append(await self._restored_from(store))
            except (BackupProblem, TimeoutError, OSError, asyncpg.PostgresError) as problem:
                failed += 1
                reason = str(problem) or f"not within {self._within_s:.0f} s"
                said.append(f"{store.name}: nothing could be restored: {reason}")
            self._say(said[-1])
        drill = Drill(
            at=datetime.now(UTC),
            ok=bool(stores) and not failed,
            seconds=time.monotonic() - began,
            detail="; ".join(said) or "there is no store to restore from",
        )
        write_drill(self._folder, drill)
        return drill

    async def _restored_from(self, store: Store) -> str:
        began = time.monotonic()
        async with (
            asyncio.timeout(self._within_s) as limit,
            scratch_in(self._scratch, "drilling") as folder,
        ):
            copies = await store.list_copies()
            if not copies:
                raise BackupProblem("it has no copies yet")
            newest = max(copies, key=lambda copy: copy.covers_to)
            # Before the first byte: a capsule may take hours to come.
            key = self._secret_key()
            require_room(
                folder,
                newest.size_bytes,
                f"fetching {newest.name}",
                reserve_bytes=self._reserve_bytes,
            )
            self._say(f"{store.name}: fetching and opening the capsule of {newest.day}")
            capsule = await store.get(newest, folder)
            opened = await asyncio.to_thread(
                open_capsule,
                capsule,
                key,
                folder / "opened",
                reserve_bytes=self._reserve_bytes,
            )
            moment = some_second(newest.covers_from, newest.covers_to, self._dice)
            try:
                found, target = await target_in(opened, moment, self._servers.programs)
            except NotCovered:  # between two lives of the cluster there was no database
                moment = newest.covers_to
                found, target = await target_in(opened, moment, self._servers.programs)
            allow_for_log(limit, found)
            self._say(f"{store.name}: recovering it to {in_words(moment)}")
            async with looked_at(opened, found, target, self._servers) as server:
                rows = sum(
                    [
                        sum((await count_rows(server.admin_dsn(name))).values())
                        for name in self._databases
                    ]
                )
        return (
            f"{store.name}: back to {in_words(moment)} from the capsule of {newest.day},"
            f" {rows} rows, {time.monotonic() - began:.1f} s"
        )


def some_second(first: datetime, last: datetime, dice: Random) -> datetime:
    """Return a moment at the beginning of a second between two moments, or the last of them."""
    begin = first.replace(microsecond=0) + timedelta(seconds=1)
    if begin > last:
        return last
    return begin + timedelta(seconds=dice.randint(0, (last - begin) // timedelta(seconds=1)))
