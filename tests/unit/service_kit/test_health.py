"""Probes that dawdle, raise or are asked by many."""

import asyncio
import json
import time
from typing import Any

import pytest
from starlette.responses import Response

from service_kit.observability import health
from service_kit.observability.health import CheckResult, Health


class Dependency:
    """Something to ask, slow or broken if told so."""

    def __init__(self, finding: CheckResult | None = None) -> None:
        self.finding = finding or CheckResult()
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0
        self.was_asked = asyncio.Event()

    async def __call__(self) -> CheckResult:
        self.asked += 1
        self.was_asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return self.finding


def of(dependency: Dependency, *, needed: bool = True, optional: bool = False) -> Health:
    names = frozenset({"store:reads"})
    return Health(
        "tested",
        "1.2.3",
        {"store:reads": dependency},
        needed=names if needed else frozenset(),
        optional=names if optional else frozenset(),
    )


def body(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(response.body))
    return found


async def test_all_is_well() -> None:
    answer = await of(Dependency()).deep()
    assert answer.status_code == 200
    assert answer.media_type == "application/health+json"
    found = body(answer)
    assert (found["status"], found["service"], found["version"]) == ("pass", "tested", "1.2.3")
    [check] = found["checks"]["store:reads"]
    assert check["status"] == "pass"
    assert check["observedUnit"] == "ms"
    assert check["time"].endswith("Z")
    assert "output" not in check


async def test_a_probe_that_does_not_answer_fails_in_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "PROBE_LIMIT_S", 0.02)
    dependency = Dependency()
    dependency.answers.clear()
    async with asyncio.timeout(60):
        answer = await of(dependency).deep()
    assert answer.status_code == 503
    assert body(answer)["checks"]["store:reads"][0]["output"] == "no answer within 20 ms"


async def test_a_probe_that_raises_fails_and_keeps_its_secrets() -> None:
    dependency = Dependency()
    dependency.error = ConnectionError("postgresql://user:password@host")
    answer = await of(dependency).deep()
    assert answer.status_code == 503
    assert body(answer)["checks"]["store:reads"][0]["output"] == "not reachable (ConnectionError)"
    assert b"password" not in bytes(answer.body)


async def test_an_optional_dependency_only_warns() -> None:
    dependency = Dependency(CheckResult("fail", "gone"))
    answer = await of(dependency, needed=False, optional=True).deep()
    assert (answer.status_code, body(answer)["status"]) == (200, "warn")


async def test_readiness_asks_only_what_is_needed_and_liveness_nothing() -> None:
    dependency = Dependency(CheckResult("fail", "gone"))
    mine = of(dependency, needed=False)
    assert (await mine.ready()).status_code == 200
    assert (await mine.live()).status_code == 200
    assert dependency.asked == 0
    assert (await of(dependency).ready()).status_code == 503


async def test_many_callers_share_one_probe_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    dependency = Dependency()
    mine = of(dependency)
    await asyncio.gather(*(mine.deep() for _ in range(50)), mine.ready())
    assert dependency.asked == 1
    now = 100.99
    await mine.deep()
    assert dependency.asked == 1
    now = 101.0
    await mine.deep()
    assert dependency.asked == 2


async def test_a_failure_is_forgotten_after_a_second_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    dependency = Dependency()
    dependency.error = OSError()
    mine = of(dependency)
    assert (await mine.deep()).status_code == 503
    dependency.error = None
    now = 101.0
    assert (await mine.deep()).status_code == 200


async def test_a_caller_that_goes_away_does_not_take_the_answer_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "PROBE_LIMIT_S", 60.0)  # the machine may stand still meanwhile
    dependency = Dependency()
    dependency.answers.clear()
    mine = of(dependency)
    leaving, staying = (asyncio.create_task(mine.deep()) for _ in range(2))
    await dependency.was_asked.wait()
    leaving.cancel()
    dependency.answers.set()
    assert (await staying).status_code == 200
    assert dependency.asked == 1


async def test_the_worst_finding_is_the_verdict() -> None:
    mine = Health("s", "1", {"a:b": Dependency(), "c:d": Dependency(CheckResult("warn", "tight"))})
    assert body(await mine.deep())["status"] == "warn"
