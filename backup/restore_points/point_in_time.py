"""Bringing a data folder to a moment: what a server needs to find when it is started on it.

The server does the work itself: it reads the log from the archive, stops at the target and goes on
from there on a timeline of its own.
"""

import re
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from backup.durable import sync, write_whole
from backup.errors import NotCovered
from backup.restore_points import archive
from backup.restore_points.reach import Reach
from backup.restore_points.wal import format_lsn

_AUTO_CONF = "postgresql.auto.conf"
_OURS = re.compile(
    r"\s*(recovery_target\w*|recovery_end_command|restore_command|archive_cleanup_command|hot_standby)\s*="
)


class Target(BaseModel, frozen=True):
    """Where a recovery ends: at the last commit up to a moment, or at the end of what there is."""

    moment: datetime | None = None
    # The life of the cluster that is meant. Where a restore has ended one before, a moment may be
    # in several of them, with other content: then it has to be named.
    timeline: int | None = None


def prepare(
    data: Path,
    wal: Path,
    found: Reach,
    target: Target,
    *,
    archiving: bool,
    python: Path | None = None,
) -> None:
    """Make a server that is started on `data` recover to the target, from the log in `wal`.

    `data` is a data folder of its own, as `BaseFolder.combine` or an opened capsule gives it. The
    log has to be checked already: without a target a server takes the first file that is missing
    for the end. What lies behind `found` is not read. Without `archiving` (to prove, to look) it
    adds nothing to anybody's archive.
    """
    _require_one_life(found, target)
    command = archive.restore_command(
        wal, python, last=found.segments()[-1], ahead=archive.ahead_of(data.absolute())
    )
    lines = [
        f"restore_command = {_quoted(command)}",
        "recovery_target_action = 'promote'",
        # Nobody looks in before it is done, and fewer settings have to be those of the old server.
        "hot_standby = 'off'",
        f"recovery_target_timeline = '{found.timeline}'",
    ]
    if target.moment is None and found.end_lsn is not None:
        lines.append(f"recovery_target_lsn = '{format_lsn(found.end_lsn)}'")
        lines.append("recovery_target_inclusive = 'off'")
    elif target.moment is not None:
        _require_covered(found, target.moment)
        lines.append(f"recovery_target_time = '{target.moment.isoformat()}'")
        lines.append("recovery_target_inclusive = 'on'")
    if not archiving:
        lines.append("archive_mode = 'off'")
    settings = data / _AUTO_CONF
    kept = _without_recovery(settings.read_text() if settings.exists() else "")
    write_whole(settings, "\n".join([*kept, *lines, ""]).encode())
    (data / "recovery.signal").touch(mode=0o600)
    sync(data)


def hold_archiving(data: Path) -> None:
    """Have the server keep its finished log until somebody sets an `archive_command`."""
    settings = data / _AUTO_CONF
    lines = settings.read_text().splitlines()
    held = ("archive_mode = 'on'", "archive_command = ''")
    write_whole(settings, "\n".join([*lines, *held, ""]).encode())


def forget_recovery(data: Path) -> None:
    """Take the target out of the settings once it is reached: it has no meaning any more."""
    settings = data / _AUTO_CONF
    write_whole(settings, "\n".join([*_without_recovery(settings.read_text()), ""]).encode())


def _require_one_life(found: Reach, target: Target) -> None:
    if target.timeline not in {None, found.timeline}:
        raise NotCovered(
            f"the log was checked on timeline {found.timeline}, and not on {target.timeline}:"
            " nothing was changed"
        )
    if found.history and target.moment is not None and target.timeline is None:
        raise NotCovered(
            f"this cluster was brought back to a moment before, so {target.moment.isoformat()} may"
            " be in several of its lives: name the timeline that is meant"
        )


def _require_covered(found: Reach, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise NotCovered(f"{moment.isoformat()} has no time zone: add one, such as Z")
    if not found.covers_from <= moment <= found.covers_to:
        raise NotCovered(
            f"{moment.isoformat()} is not in here: this reaches from"
            f" {found.covers_from.isoformat()} to {found.covers_to.isoformat()}"
        )


def _without_recovery(settings: str) -> list[str]:
    """Return the lines of an earlier life without what it was told for a recovery of its own.

    Two targets of different kinds in one file, and the server refuses to start.
    """
    return [line for line in settings.splitlines() if not _OURS.match(line)]


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
