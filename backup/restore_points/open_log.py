"""The file of the log that is being written: what nobody has handed to the archive yet."""

import time
from dataclasses import dataclass
from datetime import timedelta

from service_kit.postgres.connection import RawConnection

# Only a transaction that writes takes a number, so that an idle server is known to be idle: what
# it logs for itself (checkpoints, running transactions) is in the log, too, and nobody misses it.
_LOOK = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       div(pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
           (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'))::bigint
           AS file,
       (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout') AS timeout_s
"""
_CLOSE = "SELECT pg_switch_wal()"
# A look comes every few seconds, and may take a file to be older than it is by so much.
_LATE = 1.5
# Of a server that has none.
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    next_transaction: int
    file: int


class OpenLog:
    """Sees to it that no commit stays for long in a file that is not closed.

    Postgres closes one after `archive_timeout`; but its checkpointer, which does that, may be at
    work on a long checkpoint, or asleep since a start. Then a lost disk would lose all of it.
    """

    def __init__(self) -> None:
        self._last: _Seen | None = None
        self._written_since_s: float | None = None

    async def look(self, connection: RawConnection) -> timedelta:
        """Return for how long commits may have been in an open file; close one that is late."""
        row = await connection.fetchrow(_LOOK)
        assert row is not None, "a SELECT without a table gives a row"
        seen = _Seen(time.monotonic(), row["next_transaction"], row["file"])
        age_s = self._age_s(seen)
        if age_s >= _LATE * (row["timeout_s"] or _TIMEOUT_S):
            await connection.execute(_CLOSE)
        return timedelta(seconds=age_s)

    def _age_s(self, seen: _Seen) -> float:
        before, self._last = self._last or seen, seen
        if seen.file != before.file:
            self._written_since_s = None
        if self._written_since_s is None and seen.next_transaction != before.next_transaction:
            self._written_since_s = before.at_s
        return 0.0 if self._written_since_s is None else seen.at_s - self._written_since_s
