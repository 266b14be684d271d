"""Base backups of the whole cluster: full once in a while, in between only what has changed.

A folder of base backups holds one folder for each, named after the moment it began, with `data`
(what pg_basebackup wrote) and `base.json` (what is known of it) in it. The log is not in there: it
comes from the archive.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from backup.durable import (
    alone_in,
    gone_unless_done,
    made_folder,
    move_durably,
    partial_beside,
    remove,
    require_room,
    sync,
    write_whole,
)
from backup.errors import BaseUnusable, ProgramFailed
from backup.restore_points.base_files import log_range, size_of
from backup.restore_points.cluster import Cluster, identify
from backup.restore_points.programs import PostgresPrograms, without_password
from backup.restore_points.wal import Lsn
from service_kit.observability import logs
from service_kit.postgres.connection import RawConnection, connect

_log = logs.get(__name__)

DATA = "data"
FACTS = "base.json"
MANIFEST = "backup_manifest"
_CONNECT_WITHIN_S = 10.0
_WORKING, _TAKING = "working with base backups", "taking a base backup"
_INCREMENTAL_SINCE = 17
_LINKS_SINCE = 18

_SUMMARIES = "SELECT current_setting('summarize_wal', true)"
_DATABASES_SIZE = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"
_TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"

Kind = Literal["full", "incremental"]


class BaseBackup(BaseModel, frozen=True):
    """A base backup: where in the log it begins and ends, and what it builds on."""

    name: str
    kind: Kind
    parent: str | None
    cluster: Cluster
    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn
    started_at: datetime
    # By the database's clock. Everything committed before it is in front of `end_lsn`, so the
    # cluster can be brought back to this moment and to each after it.
    ended_at: datetime
    size_bytes: int
    # Why it is a full one where an incremental one was possible.
    remark: str = ""


class BaseFolder:
    """The base backups in a folder, on whose disk a reserve stays free; one works at a time."""

    def __init__(
        self, folder: Path, programs: PostgresPrograms, *, reserve_bytes: int | None = None
    ) -> None:
        self.folder = folder
        self.programs = programs
        self._require_room = partial(require_room, folder, reserve_bytes=reserve_bytes)

    def all(self) -> list[BaseBackup]:
        """Return all finished base backups in the order of the log.

        One of which nothing can be known any more is left out and told of: the others are as good.
        """
        found = []
        for facts in self.folder.glob(f"[!.]*/{FACTS}"):
            try:
                found.append(BaseBackup.model_validate_json(facts.read_bytes()))
            except (OSError, ValidationError) as error:
                said = " ".join(str(error).split())[:200]
                _log.warning("a base backup is left out", folder=str(facts.parent), reason=said)
        return sorted(found, key=lambda base: (base.timeline, base.end_lsn))

    def data(self, base: BaseBackup) -> Path:
        """Return the folder that pg_basebackup wrote."""
        return self.folder / base.name / DATA

    def chain(self, base: BaseBackup) -> list[BaseBackup]:
        """Return what `base` builds on, the full one first, and `base` itself."""
        by_name = {one.name: one for one in self.all()}
        links = [base]
        while (parent := links[0].parent) is not None:
            if parent not in by_name:
                raise BaseUnusable(
                    f"the base backup {base.name} builds on {parent}, which is not there any more"
                )
            links.insert(0, by_name[parent])
        return links

    async def take(
        self,
        dsn: str,
        *,
        full_every: int,
        within_s: float,
        checkpoint: Literal["fast", "spread"] = "fast",
        max_rate: str | None = None,
    ) -> BaseBackup:
        """Take a base backup through the address of a role that may replicate, and verify it.

        Every `full_every`-th is a full one, as is the first of a timeline and whenever the server
        cannot say what has changed. Returns when the log up to its end is archived.
        """
        made_folder(self.folder)
        with alone_in(self.folder, _WORKING):
            return await self._take_alone(dsn, full_every, within_s, checkpoint, max_rate)

    def delete(self, bases: Sequence[BaseBackup]) -> None:
        """Delete base backups, newest first: none is ever there without those it builds on."""
        with alone_in(self.folder, _WORKING):
            for base in sorted(bases, key=lambda base: base.name, reverse=True):
                going = partial_beside(self.folder / base.name)
                (self.folder / base.name).replace(going)
                remove(going)

    async def verify(self, data: Path, *, within_s: float) -> None:
        """Read a base backup again and compare it with the manifest that Postgres gave it."""
        try:
            await self.programs.run(
                "pg_verifybackup", "--no-parse-wal", "--quiet", str(data), within_s=within_s
            )
        except ProgramFailed as error:
            raise BaseUnusable(f"the base backup in {data} is damaged: {error}") from error

    @asynccontextmanager
    async def combined(self, base: BaseBackup, *, within_s: float) -> AsyncIterator[Path]:
        """Give a whole data folder for `base` to read from, which is gone afterwards.

        Its files may be those of the base backups themselves: never start a server on it.
        """
        made = partial_beside(self.folder / f"combined-{base.name}")
        links = ["--link"] if base.cluster.major >= _LINKS_SINCE else []
        with alone_in(self.folder, _WORKING):
            chain = self.chain(base)
            # What has changed since the full one is made anew, and that may be all of it.
            needed = chain[0].size_bytes if len(chain) > 1 or not links else 0
            self._require_room(needed, "combining base backups")
            with gone_unless_done(made, f"combining the base backup {base.name}"):
                await self._combine(base, made, links, within_s)
            try:
                yield made
            finally:
                # Thousands of files: everything else of this process would stand still.
                await asyncio.to_thread(remove, made)

    async def combine(self, base: BaseBackup, target: Path, *, within_s: float) -> None:
        """Make a whole data folder of its own for `base`, fit to start a server on."""
        made = partial_beside(target)
        with gone_unless_done(made, f"combining the base backup {base.name}"):
            await self._combine(base, made, [], within_s)
            move_durably(made, target)

    async def _take_alone(
        self, dsn: str, full_every: int, within_s: float, checkpoint: str, max_rate: str | None
    ) -> BaseBackup:
        connection = await connect(dsn, _CONNECT_WITHIN_S)
        try:
            cluster = await identify(connection)
            parent = await self._parent(connection, cluster, full_every)
            remark = ""
            options = [f"--checkpoint={checkpoint}"]
            if max_rate is not None:
                options.append(f"--max-rate={max_rate}")
            self._require_room(0, _TAKING)  # for what has changed: how much, nobody can say yet
            if parent is not None:
                try:
                    # On a damaged one, days would be built that nobody can ever use.
                    await self._verify_chain(parent, within_s)
                    return await self._take(connection, dsn, options, parent, "", within_s)
                except (ProgramFailed, BaseUnusable) as error:
                    # Summaries of the log that are gone, or late: a full one needs none.
                    remark = f"not an incremental one: {error}"
            self._require_room(await connection.fetchval(_DATABASES_SIZE), _TAKING)
            return await self._take(connection, dsn, options, None, remark, within_s)
        finally:
            await connection.close()

    async def _combine(
        self, base: BaseBackup, made: Path, options: Sequence[str], within_s: float
    ) -> None:
        # pg_combinebackup believes what it reads, and would give damage a new checksum.
        chain = await self._verify_chain(base, within_s)
        folders = [str(self.data(link)) for link in chain]
        try:
            await self.programs.run(
                "pg_combinebackup",
                "--manifest-checksums=SHA256",
                *options,
                f"--output={made}",
                *folders,
                within_s=within_s,
            )
        except ProgramFailed as error:
            raise BaseUnusable(f"{base.name} cannot be combined: {error}") from error
        await self.verify(made, within_s=within_s)

    async def _verify_chain(self, base: BaseBackup, within_s: float) -> list[BaseBackup]:
        chain = self.chain(base)
        for link in chain:
            await self.verify(self.data(link), within_s=within_s)
        return chain

    async def _parent(
        self, connection: RawConnection, cluster: Cluster, full_every: int
    ) -> BaseBackup | None:
        """Return the base backup that an incremental one can build on now."""
        if cluster.major < _INCREMENTAL_SINCE or await connection.fetchval(_SUMMARIES) != "on":
            return None
        timeline = await connection.fetchval(_TIMELINE)
        same = [
            base
            for base in self.all()
            if base.cluster.system_identifier == cluster.system_identifier
            and base.cluster.major == cluster.major
            and base.timeline == timeline
        ]
        if not same:
            return None
        try:
            long_enough = len(self.chain(same[-1])) >= full_every
        except BaseUnusable:
            return None
        return None if long_enough else same[-1]

    async def _take(
        self,
        connection: RawConnection,
        dsn: str,
        options: Sequence[str],
        parent: BaseBackup | None,
        remark: str,
        within_s: float,
    ) -> BaseBackup:
        began, cluster = time.monotonic(), await identify(connection)
        name = f"{cluster.now:%Y%m%dT%H%M%S.%fZ}"
        target = self.folder / name
        made = partial_beside(target)
        if parent is not None:
            options = [*options, f"--incremental={self.data(parent) / MANIFEST}"]
        address, password = without_password(dsn)
        with gone_unless_done(made, f"taking the base backup {name}"):
            made_folder(made)
            await self.programs.run(
                "pg_basebackup",
                f"--dbname={address}",
                f"--pgdata={made / DATA}",
                "--no-password",
                # the log comes from the archive; the server waits until it is there
                "--wal-method=none",
                "--manifest-checksums=SHA256",
                f"--label={name}",
                *options,
                environment=password,
                within_s=within_s,
            )
            ended = (await identify(connection)).now
            # Commits from before a clock was set back are in there, and bear their old times.
            elapsed = timedelta(seconds=time.monotonic() - began)
            await self.verify(made / DATA, within_s=within_s)
            base = BaseBackup(
                name=name,
                kind="full" if parent is None else "incremental",
                parent=None if parent is None else parent.name,
                cluster=cluster,
                started_at=cluster.now,
                ended_at=max(ended, cluster.now + elapsed),
                size_bytes=size_of(made),
                remark=remark,
                **log_range(made / DATA / MANIFEST),
            )
            write_whole(made / FACTS, base.model_dump_json(indent=1).encode())
            sync(made)
            move_durably(made, target)
        return base
