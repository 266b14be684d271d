"""Health endpoints of a process: `/livez`, `/readyz` and `/health`.

The deep document follows the "Health Check Response Format for HTTP APIs" draft: a status of
pass, warn or fail and a list of measurements under each `component:measurement` name.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from starlette.responses import Response

from service_kit.single_flight import SingleFlight

Status = Literal["pass", "warn", "fail"]
_RANK: dict[Status, int] = {"pass": 0, "warn": 1, "fail": 2}

PROBE_LIMIT_S = 0.5
SHARED_FOR_S = 1.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one probe saw. `output` says what is wrong in words, empty when nothing is."""

    status: Status = "pass"
    output: str = ""
    value: float | int | str | None = None
    unit: str | None = None


Probe = Callable[[], Awaitable[CheckResult]]


class Health:
    """Runs the probes of one process side by side and shares their result for a second.

    `probes` are named `component:measurement`; those in `needed` decide readiness too. A probe
    that raises or takes longer than 500 ms is a `fail`, or a `warn` if it is in `optional`.
    """

    def __init__(
        self,
        service: str,
        version: str,
        probes: Mapping[str, Probe],
        *,
        needed: frozenset[str] = frozenset(),
        optional: frozenset[str] = frozenset(),
    ) -> None:
        self._service = service
        self._version = version
        self._probes = dict(probes)
        self._needed = needed
        self._optional = optional
        self._checks = {
            name: SingleFlight(partial(self._run, name), SHARED_FOR_S) for name in self._probes
        }

    async def _run(self, name: str) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PROBE_LIMIT_S):
                result = await self._probes[name]()
        except TimeoutError:
            result = CheckResult("fail", f"no answer within {PROBE_LIMIT_S * 1000:.0f} ms")
        except Exception as error:
            # the type and not the text: a driver's text may hold addresses and names
            result = CheckResult("fail", f"not reachable ({type(error).__name__})")
        took_ms = round((time.perf_counter() - began) * 1000, 1)
        status: Status = result.status
        if status == "fail" and name in self._optional:
            status = "warn"
        check: dict[str, Any] = {
            "status": status,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "observedValue": took_ms if result.value is None else result.value,
            "observedUnit": "ms" if result.unit is None else result.unit,
        }
        if result.output:
            check["output"] = result.output
        return check

    async def _answer(self, names: list[str]) -> Response:
        results = await asyncio.gather(*(self._checks[name].get() for name in names))
        overall: Status = max(
            (result["status"] for result in results), key=_RANK.__getitem__, default="pass"
        )
        body = {
            "status": overall,
            "service": self._service,
            "version": self._version,
            "checks": {name: [result] for name, result in zip(names, results, strict=True)},
        }
        return Response(
            json.dumps(body),
            status_code=503 if overall == "fail" else 200,
            media_type="application/health+json",
            headers={"Cache-Control": "no-store"},
        )

    async def live(self) -> Response:
        """Answer /livez: this process runs; nothing else is asked."""
        body = {"status": "pass", "service": self._service, "version": self._version}
        return Response(json.dumps(body), media_type="application/health+json")

    async def ready(self) -> Response:
        """Answer /readyz: can this process do its own work?"""
        return await self._answer([name for name in self._probes if name in self._needed])

    async def deep(self) -> Response:
        """Answer /health: everything this process depends on, each with its own verdict."""
        return await self._answer(list(self._probes))
