"""Order requests on which both the in-process window and the Prometheus rule are tried.

Each trace is a list of (begins at, takes) in seconds, for ever (None) if it is never answered.
Times are multiples of 1/8: their sums are exact, so "above one second" has no rounding in it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager

from order_api.response_time import ResponseTimes

Trace = list[tuple[float, float | None]]

VECTORS: dict[str, Trace] = {
    "silence": [],
    "quick ones": [(n, 0.125) for n in range(20)],
    "exactly the limit": [(n, 1.0) for n in range(10)],
    "a hair above the limit": [*((n, 1.0) for n in range(7)), (8, 1.125)],
    "one slow one leaves the window": [(0, 8.0), (10, 0.125), (20, 0.125)],
    "a burst of slow ones between quick ones": [
        *((n, 0.125) for n in range(12)),
        *((12 + n / 8, 2.0) for n in range(80)),
        *((24 + n, 0.125) for n in range(20)),
    ],
    "a hung one": [(5, None)],
    "hung ones among quick ones": [*((n / 4, 0.125) for n in range(120)), *[(10, None)] * 3],
    "slow, then silence": [(n, 2.0) for n in range(5)],
}
SECONDS = 70


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def played(trace: Trace) -> Iterator[tuple[int, ResponseTimes]]:
    """Yield the window of the order service at each full second of the trace."""
    clock = Clock()
    times = ResponseTimes(clock)
    running: list[tuple[float, AbstractContextManager[None]]] = []
    begins = sorted(trace, key=lambda request: request[0])
    for eighth in range(SECONDS * 8 + 1):
        clock.now = eighth / 8
        for ends, measuring in [each for each in running if each[0] <= clock.now]:
            measuring.__exit__(None, None, None)
            running.remove((ends, measuring))
        while begins and begins[0][0] <= clock.now:
            began, takes = begins.pop(0)
            measuring = times.measure()
            measuring.__enter__()
            running.append((began + takes if takes is not None else float("inf"), measuring))
        if eighth % 8 == 0:
            yield eighth // 8, times


def average_at(trace: Trace, now: float) -> float | None:
    """Return the average by brute force: what ended in 30 s, and what hangs by its age."""
    counted = []
    for began, takes in trace:
        if began > now:
            continue
        if takes is None or began + takes > now:
            counted.append(now - began)
        elif began + takes > now - 30:
            counted.append(takes)
    return sum(counted) / len(counted) if counted else None
