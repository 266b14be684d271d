"""Detection of a database clock that was put back."""

import time
from datetime import datetime, timedelta

# A clock that is merely slowed down to agree with others is no matter.
TOLERANCE = timedelta(seconds=0.5)


class DatabaseClock:
    """Follows a clock that may jump by one that may not: this process's monotonic one."""

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._read_at = 0.0

    def shows(self, at: datetime) -> None:
        """Take note of what the database's clock has just shown."""
        self._last = at
        self._read_at = time.monotonic()

    def not_before(self) -> datetime | None:
        """Return the earliest that it can show now if it goes on as before; None if unknown."""
        if self._last is None:
            return None
        return self._last + timedelta(seconds=time.monotonic() - self._read_at) - TOLERANCE
