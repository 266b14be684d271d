"""Answer times of orders over an exact rolling window, and the share that failed.

Both the dashboard's alert and `GET /v1/ops/response-time` read it. It is about orders that were
worked on: what was refused (no key, no identity, a bad body, too many, another price) or repeated
an order that had ended before is counted apart, since a crowd of them would make slow orders look
fast. An order that has been answered counts with its duration while it lies inside the window; one
that hangs counts with its age, so that a service which answers nobody turns red instead of silent.
An order that we failed is red, too, however quickly: an average says nothing of that.

The window is that of one process; Prometheus adds the replicas up (`order_api/metrics.py`).
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from order_api.contracts import Latency, ResponseTime
from service_kit.observability.health import CheckResult
from service_kit.observability.percentile import percentile

WINDOW_S = 30.0
THRESHOLD_S = 1.0
FAILED_SHARE_THRESHOLD = 0.05

Outcome = Literal["answered", "refused", "failed"]


class Counts(NamedTuple):
    """How many requests of the window were what.

    `attempts` are all that were tried, and those that failed before they could be.
    """

    tried: int
    attempts: int
    failed: int
    refused: int


class _Ended(NamedTuple):
    at: float
    took_s: float | None  # None: it failed before it was tried
    failed: bool


class ResponseTimes:
    """Collects durations in seconds; `clock` is monotonic, so a stepped wall clock is harmless.

    `instance` names the process that all this is about.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, instance: str = "") -> None:
        self._clock = clock
        self._instance = instance
        self._under_way: dict[object, float] = {}
        self._ended: deque[_Ended] = deque()
        self._refused: deque[float] = deque()  # when
        self._failed = self._untried = 0  # of those that have ended

    def now(self) -> float:
        """Return the time by the clock that all this is measured with."""
        return self._clock()

    def begin(self, request: object, since: float) -> None:
        """Count `request` as of `since`: it is whole and valid, and its order is being tried."""
        self._under_way.setdefault(request, since)

    def end(self, request: object, outcome: Outcome) -> None:
        """Note how `request` ended, whether it had begun or not."""
        now = self._clock()
        began = self._under_way.pop(request, None)
        if outcome == "failed" or (outcome == "answered" and began is not None):
            took_s = now - began if began is not None else None
            self._ended.append(_Ended(now, took_s, outcome == "failed"))
            self._failed += outcome == "failed"
            self._untried += took_s is None
        else:
            self._refused.append(now)
        self._forget(now)  # here too: perhaps nobody ever reads

    def give_up(self, request: object) -> None:
        """Note that `request` ended without an answer: our failure, if its order was tried.

        If not, its client went away before there was an order to try.
        """
        if request in self._under_way:
            self.end(request, "failed")

    def read(self) -> ResponseTime:
        """Return the window that ends now; red if and only if there is a reason for it."""
        self._forget(self._clock())
        times, counts = self._times(), self._counts()
        average_s = sum(times) / len(times) if times else None
        failed_share = counts.failed / counts.attempts if counts.attempts else None
        reasons = []
        if average_s is not None and average_s > THRESHOLD_S:
            reasons.append("slow")
        if failed_share is not None and failed_share > FAILED_SHARE_THRESHOLD:
            reasons.append("failing")
        return ResponseTime(
            window_s=WINDOW_S,
            count=counts.tried,
            average_s=average_s,
            oldest_in_flight_s=max(self._ages(), default=0.0),
            state="red" if reasons else "green" if counts.attempts else "no_data",
            threshold_s=THRESHOLD_S,
            reasons=reasons,
            failed=counts.failed,
            failed_share=failed_share,
            failed_share_threshold=FAILED_SHARE_THRESHOLD,
            refused=counts.refused,
            instance=self._instance,
        )

    def sum_and_count(self) -> tuple[float, int]:
        """Return the sum in seconds and the count that the average is made of."""
        self._forget(self._clock())
        times = self._times()
        # summed afresh: a running total would drift with every float taken out again
        return sum(times), len(times)

    def counts(self) -> Counts:
        """Return how many requests were tried, failed and refused."""
        self._forget(self._clock())
        return self._counts()

    async def failing(self) -> CheckResult:
        """Probe: does the window hold more failures than it should? The value is their share."""
        found = self.read()
        share = found.failed_share or 0.0
        output = ""
        if "failing" in found.reasons:
            attempts = self._counts().attempts
            output = f"{found.failed} of {attempts} orders failed in {WINDOW_S:.0f} s"
        return CheckResult("warn" if output else "pass", output, round(100 * share, 1), "% failed")

    def percentiles(self) -> Latency:
        """Return percentiles over the same requests as the average."""
        self._forget(self._clock())
        times = self._times()
        if not times:
            return Latency(p50_s=None, p95_s=None, p99_s=None)
        p50, p95, p99 = (percentile(times, share) for share in (0.50, 0.95, 0.99))
        return Latency(p50_s=p50, p95_s=p95, p99_s=p99)

    def _counts(self) -> Counts:
        attempts = len(self._ended) + len(self._under_way)
        return Counts(attempts - self._untried, attempts, self._failed, len(self._refused))

    def _times(self) -> list[float]:
        return [each.took_s for each in self._ended if each.took_s is not None] + self._ages()

    def _ages(self) -> list[float]:
        now = self._clock()
        return [now - began for began in self._under_way.values()]

    def _forget(self, now: float) -> None:
        over = now - WINDOW_S
        while self._ended and self._ended[0].at <= over:
            gone = self._ended.popleft()
            self._failed -= gone.failed
            self._untried -= gone.took_s is None
        while self._refused and self._refused[0] <= over:
            self._refused.popleft()
