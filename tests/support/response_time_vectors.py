"""Order requests on which both the in-process window and the Prometheus rule are tried.

Each trace is a list of requests: when it begins and what it takes, in seconds; for ever (None) if
it is never answered. Times are multiples of 1/32: their sums are exact, so "above one second" has
no rounding in it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from order_api.response_time import Outcome, ResponseTimes


class Sent(NamedTuple):
    """One request; `tried`: its order was, from the beginning (or never)."""

    begins: float
    takes: float | None
    ends: Outcome = "answered"
    tried: bool = True


class Verdict(NamedTuple):
    """What the window has to say at some moment."""

    average_s: float | None
    failed_share: float | None

    @property
    def reasons(self) -> list[str]:
        slow = self.average_s is not None and self.average_s > 1
        failing = self.failed_share is not None and self.failed_share > 0.05
        return ["slow"] * slow + ["failing"] * failing

    @property
    def state(self) -> str:
        if self.failed_share is None:
            return "no_data"
        return "red" if self.reasons else "green"


Trace = list[Sent]

VECTORS: dict[str, Trace] = {
    "silence": [],
    "quick ones": [Sent(n, 0.125) for n in range(20)],
    "exactly the limit": [Sent(n, 1.0) for n in range(10)],
    "a hair above the limit": [*(Sent(n, 1.0) for n in range(7)), Sent(8, 1.125)],
    "one slow one leaves the window": [Sent(0, 8.0), Sent(10, 0.125), Sent(20, 0.125)],
    "a burst of slow ones between quick ones": [
        *(Sent(n, 0.125) for n in range(12)),
        *(Sent(12 + n / 8, 2.0) for n in range(80)),
        *(Sent(24 + n, 0.125) for n in range(20)),
    ],
    "a hung one": [Sent(5, None)],
    "hung ones among quick ones": [
        *(Sent(n / 4, 0.125) for n in range(120)),
        *[Sent(10, None)] * 3,
    ],
    "slow, then silence": [Sent(n, 2.0) for n in range(5)],
    "a crowd without a key beside slow ones": [
        *(Sent(n, 2.0) for n in range(20)),
        *(Sent(n / 32, 0.0, "refused", tried=False) for n in range(800)),
    ],
    "a crowd without a key": [Sent(n / 4, 0.125, "refused", tried=False) for n in range(80)],
    "bodies that trickle": [
        Sent(4, 5.0, "refused", tried=False),
        Sent(4, None, tried=False),
        Sent(5, 0.5),
    ],
    "refused after a slow look": [Sent(3, 4.0, "refused"), Sent(10, 0.125)],
    "one of one fails at once": [Sent(2, 0.0, "failed")],
    "one of twenty fails": [*(Sent(n, 0.125) for n in range(19)), Sent(19, 0.125, "failed")],
    "two of thirty fail": [
        *(Sent(n / 4, 0.125) for n in range(28)),
        *[Sent(8, 0.125, "failed")] * 2,
    ],
    "all fail at once, beside a crowd without a key": [
        *(Sent(n / 2, 0.0, "failed") for n in range(60)),
        *(Sent(n / 8, 0.0, "refused", tried=False) for n in range(200)),
    ],
    "turned away before they were tried": [
        *(Sent(n / 2, 2.0) for n in range(20)),
        *(Sent(n / 8, 0.0, "failed", tried=False) for n in range(80)),
    ],
    "slow and failing": [Sent(n, 2.0, "failed") for n in range(10)],
}
SECONDS = 70


class Clock:
    """Moves only when told."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def played(trace: Trace) -> Iterator[tuple[int, ResponseTimes]]:
    """Yield the window of the order service at each full second of the trace."""
    clock = Clock()
    times = ResponseTimes(clock)
    moments: list[tuple[float, int, bool]] = []
    for number, sent in enumerate(trace):
        moments.append((sent.begins, number, False))
        if sent.takes is not None:
            moments.append((sent.begins + sent.takes, number, True))
    moments.sort(key=lambda moment: moment[0])  # a request that takes no time begins before it ends
    for second in range(SECONDS + 1):
        while moments and moments[0][0] <= second:
            clock.now, number, over = moments.pop(0)
            if over:
                times.end(number, trace[number].ends)
            elif trace[number].tried:
                times.begin(number, clock.now)
        clock.now = second
        yield second, times


def verdict_at(trace: Trace, now: float) -> Verdict:
    """Return the verdict by brute force: of what ended in 30 s, and of what hangs by its age."""
    counted: list[float] = []
    attempts = failed = 0
    for sent in trace:
        ended = sent.begins + sent.takes if sent.takes is not None else None
        if sent.begins > now or (ended is not None and ended <= now - 30):
            continue
        if ended is None or ended > now:
            counted += [now - sent.begins] * sent.tried
            attempts += sent.tried
        elif sent.ends != "refused":
            assert sent.takes is not None
            counted += [sent.takes] * sent.tried
            attempts += 1
            failed += sent.ends == "failed"
    return Verdict(
        sum(counted) / len(counted) if counted else None,
        failed / attempts if attempts else None,
    )
