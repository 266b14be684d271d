"""The answer time of order requests over a rolling window, exactly, from the requests themselves.

Both the dashboard's alert and `GET /v1/ops/response-time` read it. A request that has finished
counts with its duration while it lies inside the window; one that hangs counts with its age, so
that a service which answers nobody turns red instead of silent.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from order_api.contracts import Latency, ResponseTime

WINDOW_S = 30.0
THRESHOLD_S = 1.0


class ResponseTimes:
    """Collects durations in seconds; `clock` is monotonic, so a stepped wall clock is harmless."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        window_s: float = WINDOW_S,
        threshold_s: float = THRESHOLD_S,
    ) -> None:
        self._clock = clock
        self._window_s = window_s
        self._threshold_s = threshold_s
        self._finished: deque[tuple[float, float]] = deque()  # (when it ended, how long it took)
        self._under_way: dict[int, float] = {}
        self._next = 0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Count the request that runs inside."""
        number, self._next = self._next, self._next + 1
        began = self._under_way[number] = self._clock()
        try:
            yield
        finally:
            del self._under_way[number]
            ended = self._clock()
            self._finished.append((ended, ended - began))
            self._forget(ended)  # here too: perhaps nobody ever reads

    def read(self) -> ResponseTime:
        """Return the average over the window that ends now; red if and only if above threshold."""
        total, count = self.sum_and_count()
        now = self._clock()
        ages = [now - began for began in self._under_way.values()]
        average = total / count if count else None
        state = "no_data"
        if average is not None:
            state = "red" if average > self._threshold_s else "green"
        return ResponseTime(
            window_s=self._window_s,
            count=count,
            average_s=average,
            oldest_in_flight_s=max(ages, default=0.0),
            state=state,
            threshold_s=self._threshold_s,
        )

    def sum_and_count(self) -> tuple[float, int]:
        """Return the sum in seconds and the count that the average is made of."""
        now = self._clock()
        self._forget(now)
        ages = [now - began for began in self._under_way.values()]
        # summed afresh: a running total would drift with every float taken out again
        total = sum(took for _, took in self._finished) + sum(ages)
        return total, len(self._finished) + len(ages)

    def percentiles(self) -> Latency:
        """Return percentiles (nearest rank) over the same requests as the average."""
        now = self._clock()
        self._forget(now)
        times = sorted(
            [took for _, took in self._finished]
            + [now - began for began in self._under_way.values()]
        )

        def rank(share: float) -> float | None:
            return times[max(math.ceil(share * len(times)) - 1, 0)] if times else None

        return Latency(p50_s=rank(0.50), p95_s=rank(0.95), p99_s=rank(0.99))

    def _forget(self, now: float) -> None:
        while self._finished and self._finished[0][0] <= now - self._window_s:
            self._finished.popleft()
