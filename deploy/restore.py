"""Bring the shop's cluster back into an empty data folder, where it runs in containers.

    PGDATA=… BACKUP_HOME=… python -m deploy.restore [--from archive] [--at 2026-11-26T05:12:33Z]

This is `valerix restore` without a stack of this machine: PGDATA is the data folder of the server,
which must not run, BACKUP_HOME the folder of the trail. Orders and inventory are one cluster, and
cut at one point of its log, so they agree. All roles have passwords that nobody knows afterwards,
until deploy/images/database/shop.sh gives them those of .env.
"""

import argparse
import asyncio
import sys
import time
from datetime import datetime
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from backup.durable import gone_unless_done, made_folder, move_durably, partial_beside, remove
from backup.errors import BackupProblem
from backup.restore.moment import in_words, parse_moment
from backup.restore.restore import Restored, restore
from backup.restore.server import DATA
from backup.restore.sources import Say
from backup.trail_folder import TrailFolder
from deploy.cli.restore_source import ARCHIVE, RestoreSources
from deploy.local.errors import StartRefused
from deploy.local.postgres.server import DATABASES
from deploy.local.recovery import LocalRecoveryServers
from service_kit.postgres.pool import POSTGRES_ERRORS
from service_kit.process.settings import load

# For the recovery, and for each program of Postgres.
_WITHIN_S = 3600.0
_PROBLEMS: tuple[type[Exception], ...] = (BackupProblem, StartRefused, *POSTGRES_ERRORS)


class RestoreSettings(BaseSettings):
    """Where the data folder is to be, and where the trail is."""

    data: Path = Field(validation_alias="PGDATA")
    trail: Path = Field(validation_alias="BACKUP_HOME")


async def bring_back(
    settings: RestoreSettings, source: str, at: datetime | None, *, say: Say
) -> Restored:
    """Restore to the data folder; whatever was half-made is gone if this raises.

    Raises `StartRefused` if there is anything in it.
    """
    data, trail = settings.data, TrailFolder(settings.trail)
    if data.exists() and any(data.iterdir()):
        raise StartRefused(
            problem=f"{data} has data already",
            kept="nothing was started or changed",
            remedy="restore to an empty volume; keep the other one until all is well",
        )
    servers = LocalRecoveryServers(_WITHIN_S)
    chosen = RestoreSources(trail, trail, servers, within_s=_WITHIN_S, say=say).named(source)
    made_folder(data.parent)
    partial = partial_beside(data)
    with gone_unless_done(partial, f"restoring to {data}"):
        partial.mkdir(mode=0o700)
        restored = await restore(
            chosen, at, partial, servers=servers, trail=trail, databases=DATABASES, say=say
        )
        if data.exists():
            data.rmdir()
        move_durably(partial / DATA, data)
    remove(partial)
    return restored


def main() -> None:
    """Restore, and say what is back; exit with 1 if somebody has to look at something."""
    parser = argparse.ArgumentParser(description="Bring the shop's databases back.")
    parser.add_argument("--from", dest="source", default=ARCHIVE, metavar="SOURCE")
    parser.add_argument("--at", help="a moment with its time zone; the end of what there is")
    arguments = parser.parse_args()
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"  {time.monotonic() - began:6.1f} s  {what}", flush=True)

    try:
        moment = parse_moment(arguments.at) if arguments.at else None
        restored = asyncio.run(bring_back(load(RestoreSettings), arguments.source, moment, say=say))
    except _PROBLEMS as problem:
        print(f"Nothing was restored: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    print(f"Back: everything committed up to {in_words(restored.offer.up_to)}.")
    for note in (*restored.offer.notes, *restored.differences):
        print(f"  {note}")
    print("Next: start the database, and run shop.sh in it (deploy/README.md).")
    raise SystemExit(1 if restored.differences else 0)


if __name__ == "__main__":
    main()
