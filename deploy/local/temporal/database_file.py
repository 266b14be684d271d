"""Temporal's database file: whether it is damaged, and how a damaged one is put aside.

No order is lost with it: orders and stock are in Postgres, and the relay starts every open order
again. What is lost are the histories of ended orders in Temporal's Web UI.
"""

import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.errors import StartRefused

PUT_ASIDE = "--put-damaged-temporal-file-aside"
# A start should not wait long for a check that nearly always finds nothing.
QUICK_CHECK_S = 1.0
_STEPS_BETWEEN_LOOKS = 10_000
_PARTS = ("", "-wal", "-shm")  # SQLite's; what was written last is in the second one


class DamagedTemporalFile(StartRefused):
    """A refusal because Temporal cannot work with its file, which may be put aside."""

    def __init__(self, file: Path, damage: str) -> None:
        super().__init__(
            problem=f"Temporal's file {file} is damaged: {damage}",
            kept="the file and all orders; everything that had started is stopped again. Orders "
            "and stock are in Postgres: with a new, empty file every open order is taken up "
            "again and ends once. Only histories of ended orders in the Web UI are lost",
            remedy=f"have it put aside with `valerix up {PUT_ASIDE}` (it is kept beside the new "
            "one), or put back a copy of it and of the files beside it, and start again",
        )


def damage(file: Path, within_s: float | None = None) -> str | None:
    """Return what is wrong with the file; None if nothing is found in `within_s`, or no file."""
    import sqlite3

    if not file.exists():
        return None
    end = None if within_s is None else time.monotonic() + within_s
    try:
        # reads what is in the log beside the file, and changes nothing
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as found:
            if not found.execute(HAS_TABLES).fetchone()[0]:
                return "it is empty, or cut off"
            if end is not None:
                found.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
            [(verdict, *_), *_] = found.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        primary = error.sqlite_errorcode & 0xFF
        return str(error) if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else None
    return None if verdict == "ok" else str(verdict)[:300]


def put_aside(file: Path) -> Path:
    """Rename the file, and what belongs to it, to a dated name beside it; return that."""
    aside = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + part).rename(aside.with_name(aside.name + part))
    return aside


HAS_TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'namespaces'"
