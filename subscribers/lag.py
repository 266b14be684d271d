"""Lag of one subscriber, true at any moment between two reads of the database."""

import time

from prometheus_client import Gauge

# A runner looks once a second. One that has not for this long does not know that all is read.
SILENCE_LIMIT_S = 10.0

BEHIND = Gauge(
    "subscriber_behind_seconds",
    "Age of the oldest committed event not taken, or how long nobody could look for one.",
    ["subscriber"],
)


class Lag:
    """Keeps `subscriber_behind_seconds` of the subscriber `name` true whenever it is scraped.

    It goes on growing while the subscriber hangs, fails, or cannot reach the database.
    """

    def __init__(self, name: str) -> None:
        self._looked_at = time.monotonic()
        self._next_seq: int | None = None
        self._met_at = self._looked_at
        self._behind_s: float | None = 0.0  # before the first look nothing is known to be read
        BEHIND.labels(name).set_function(self.seconds)

    def saw(self, behind_s: float | None, seq: int | None) -> None:
        """Note the age and number of the oldest event that waits at this moment; None for none.

        It waits at least since we first met it: by its date alone it would be of no age for an
        hour after the database's clock was put back by one.
        """
        self._looked_at = time.monotonic()
        if seq != self._next_seq:
            self._next_seq, self._met_at = seq, self._looked_at
        if behind_s is not None:
            behind_s = max(behind_s, self._looked_at - self._met_at)
        self._behind_s = behind_s

    def seconds(self) -> float:
        """Return how many seconds the subscriber is behind now."""
        since_s = time.monotonic() - self._looked_at
        if self._behind_s is not None:
            return max(self._behind_s, 0.0) + since_s
        return since_s if since_s > SILENCE_LIMIT_S else 0.0
