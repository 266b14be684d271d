"""Archiving of a cluster's log into the folder of the trail, by the server itself."""

import contextlib
import os
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.errors import StartRefused
from deploy.local.postgres.data_folder import server_pid
from deploy.local.process.privileges import Account

if TYPE_CHECKING:  # only looked for once a server is up
    import psutil

# A lost disk loses at most this, and what the archiver is behind. An idle half minute is for free.
_ARCHIVE_TIMEOUT = "30s"
_SUMMARIES_SINCE = 17


def settings(wal: Path, major: int) -> dict[str, str]:
    """Return what a server needs to be told to archive its log in `wal`."""
    from backup.restore_points.archive import archive_command

    told = {
        "archive_mode": "on",
        "archive_command": archive_command(wal),
        "archive_timeout": _ARCHIVE_TIMEOUT,
    }
    if major >= _SUMMARIES_SINCE:
        told["summarize_wal"] = "on"  # so that most base backups hold only what has changed
    return told


def system_identifier(data: Path) -> str:
    """Return the number that a cluster has for life, restores included: this file begins so."""
    with (data / "global" / "pg_control").open("rb") as control:
        (number,) = struct.unpack("=Q", control.read(8))
    return str(number)


def make_archive(trail: Path, wal: Path, account: Account | None) -> None:
    """Make the folder `wal` below `trail`, where the server's account can write and nobody else."""
    on_the_way = [trail, *reversed([each for each in wal.parents if trail in each.parents])]
    try:
        trail.parent.mkdir(parents=True, exist_ok=True)
        for folder in (*on_the_way, wal):
            folder.mkdir(exist_ok=True, mode=0o700)
        if account is not None:
            for folder in on_the_way:
                os.chown(folder, -1, account.gid)
                folder.chmod(0o710)
            account.take(wal)
        if account is None and not os.access(wal, os.W_OK | os.X_OK):
            raise PermissionError(13, "not yours", str(wal))
    except OSError as error:
        raise StartRefused(
            problem=f"backups cannot be kept in {trail}: {error.strerror} ({error.filename})",
            kept="your data is untouched; nothing was started",
            remedy="set VALERIX_BACKUP_HOME to a folder of your own, or BACKUP=false to go without",
        ) from error


def statements(role: str, databases: tuple[str, ...]) -> list[str]:
    """Return what lets the role take backups, to be run in its own database; may be repeated."""
    from backup.restore_points.cluster import grants

    return [f"ALTER ROLE {role} REPLICATION", *grants(role, databases)]


def begin_in_time(data: Path) -> None:
    """Have a server that has just become ready observe `archive_timeout` from now on.

    Its checkpointer is there before that, and as long as the server recovers it looks at no more
    than the time until the next checkpoint. If nobody wakes it, it sleeps that long, and for 15
    minutes a lost disk would lose all since the start. A reload of its settings wakes it.
    """
    import psutil

    pid = server_pid(data)
    if pid is None:  # ready, and gone since
        return
    with contextlib.suppress(psutil.NoSuchProcess):  # or just now
        server = psutil.Process(pid)
        # The server itself would tell all, and log that some settings are of its command line.
        asked = [child for child in server.children() if _is_checkpointer(child)] or [server]
        for process in asked:
            process.send_signal(signal.SIGHUP)


def _is_checkpointer(child: "psutil.Process") -> bool:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):  # a worker that is done
        return "checkpointer" in " ".join(child.cmdline())
    return False
