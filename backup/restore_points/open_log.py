"""The file of the log that is being written: what nobody has handed to the archive yet."""

import time
from dataclasses import dataclass
from datetime import timedelta

from service_kit.postgres.connection import RawConnection

# Only a transaction that writes takes a number, so that an idle server is known to be idle: what
# it logs for itself (checkpoints, running transactions) is in the log, too, and nobody misses it.
_LOOK = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       div(written, segment_bytes)::bigint AS file,
       mod(written, segment_bytes)::bigint AS bytes_in_it,
       (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout') AS timeout_s
FROM (SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS written,
             (SELECT setting::numeric FROM pg_settings WHERE name = 'wal_segment_size')
                 AS segment_bytes) AS log
"""
_CLOSE = "SELECT pg_switch_wal()"
# A look comes every few seconds, and may take a file to be older than it is by so much.
_LATE = 1.5
# Of a server that has none.
_TIMEOUT_S = 30
# A new file begins with the header of its first page (40 bytes), behind which Postgres says that it
# writes. There is nothing in it then, and to close it does nothing.
_EMPTY_BYTES = 64
# After a longer pause between two looks nobody knows when in it something was written.
_LONG_PAUSE_S = 120.0


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    next_transaction: int
    file: int
    is_empty: bool
    # The age at which a file is closed.
    late_at_s: float


class OpenLog:
    """Sees to it that no commit stays for long in a file that is not closed.

    Postgres closes one after `archive_timeout`; but its checkpointer, which does that, may be at
    work on a long checkpoint, or asleep since a start. Then a lost disk would lose all of it.
    """

    def __init__(self) -> None:
        self._last: _Seen | None = None
        self._written_since_s: float | None = None
        self._is_late = False

    async def look(self, connection: RawConnection) -> timedelta:
        """Return for how long commits may have been in an open file."""
        row = await connection.fetchrow(_LOOK)
        assert row is not None, "a SELECT without a table gives a row"
        seen = _Seen(
            at_s=time.monotonic(),
            next_transaction=row["next_transaction"],
            file=row["file"],
            is_empty=row["bytes_in_it"] <= _EMPTY_BYTES,
            late_at_s=_LATE * (row["timeout_s"] or _TIMEOUT_S),
        )
        return timedelta(seconds=self._age_s(seen))

    async def close_late(self, connection: RawConnection) -> None:
        """Have the file closed that the last look has found to be late."""
        if self._is_late:
            await connection.execute(_CLOSE)

    def _age_s(self, seen: _Seen) -> float:
        before, self._last = self._last or seen, seen
        pause_s = seen.at_s - before.at_s
        self._is_late = False
        if seen.is_empty or seen.file != before.file:
            self._written_since_s = None
        if seen.is_empty:
            return 0.0
        if self._written_since_s is None and seen.next_transaction != before.next_transaction:
            # It may be old, and is closed at once; it may be new, and nobody is to be woken for it.
            self._is_late = pause_s > _LONG_PAUSE_S
            self._written_since_s = seen.at_s if self._is_late else before.at_s
        if self._written_since_s is None:
            return 0.0
        age_s = seen.at_s - self._written_since_s
        self._is_late = self._is_late or age_s >= seen.late_at_s
        return age_s
