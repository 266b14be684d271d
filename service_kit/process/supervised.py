"""Supervised background work: a failure is logged, shown in health, and begun anew."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Counter

from service_kit.observability import logs
from service_kit.observability.health import CheckResult, Probe

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# How long health speaks of a failure, and how long work has to go well to be trusted again.
FAILURE_SHOWN_S = 120.0

FAILURES = Counter(
    "background_failures", "Failures of background work that nobody foresaw.", ["task"]
)
_log = logs.get(__name__)


class Supervised:
    """Does `work` for as long as the process serves.

    What can be foreseen (a database that is away) `work` sees to by itself. Anything else, such as
    one row that it cannot read, must not take the process down again and again with everybody
    whom it serves: it is logged and counted, health warns, and the work begins anew after a pause.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.name = name
        self._work = work
        self._first_pause_s = first_pause_s
        self._failed_at: float | None = None
        self._reason = ""
        FAILURES.labels(name)  # shown from the start, or the first failure is no increase

    async def run(self) -> None:
        """Return only if `work` does."""
        pause_s = self._first_pause_s
        while True:
            began = time.monotonic()
            try:
                return await self._work()
            except Exception as error:
                if time.monotonic() - began > FAILURE_SHOWN_S:
                    pause_s = self._first_pause_s
                self._failed_at = time.monotonic()
                self._reason = type(error).__name__
                FAILURES.labels(self.name).inc()
                _log.exception("background work failed, begins anew", task=self.name, in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def well(self) -> CheckResult:
        """Probe: has it failed lately?"""
        if (
            self._failed_at is None
            or (ago_s := time.monotonic() - self._failed_at) > FAILURE_SHOWN_S
        ):
            return CheckResult()
        return CheckResult("warn", f"failed ({self._reason}) and began anew", round(ago_s), "s ago")


def probes(*tasks: Supervised) -> dict[str, Probe]:
    """Return a probe for each of `tasks`, by name."""
    return {f"background:{task.name}": task.well for task in tasks}
