"""What was away, for how long, and how the run keeps step with a machine that is slow."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checker.agreement import compare
from chaos.checker.attempts import Attempt
from chaos.checker.disturbances import absences, disturbances_of, stood_still
from chaos.client.pacing import no_delay, wait_until_due
from chaos.client.scheduling_stalls import Stalls
from chaos.nemesis.nemesis import Nemesis
from chaos.nemesis.system import system_of
from chaos.run_config import RunConfig
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.scenario import Event
from chaos.scenarios.schedule import ScheduledEvent
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.support.settled_facts import fired_as, settled_facts

LOG = """\
2026-01-01T00:00:00.000Z started worker pid=1
2026-01-01T00:00:01.000Z ready worker pid=1 after=1.000s
2026-01-01T00:00:10.000Z exited worker pid=1 code=-9
2026-01-01T00:00:10.100Z exited order_api pid=2 code=-9
2026-01-01T00:00:12.000Z exited worker pid=3 code=-9
2026-01-01T00:00:13.000Z ready order_api pid=4 after=2.800s
2026-01-01T00:00:17.500Z ready worker pid=5 after=5.300s
2026-01-01T00:00:20.000Z exited worker pid=5 code=0
"""
MIDNIGHT = 1_767_225_600.0
ORDERS = RunConfig(SCENARIOS["calm"], 7, 3, 15.0, Path("unused")).plan.orders


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "supervisor.log").write_text(LOG)
    return tmp_path


def test_a_process_is_away_from_its_end_until_it_is_ready_however_often_it_tried(
    logs: Path,
) -> None:
    found = [
        (g.begin - MIDNIGHT, g.end - MIDNIGHT, g.why) for g in absences(logs / "supervisor.log")
    ]
    assert found == [
        (pytest.approx(10.1), 13.5, "order_api was away"),
        (10.0, 18.0, "worker was away"),
    ]


def test_a_run_is_disturbed_by_what_went_away_in_its_own_time(logs: Path) -> None:
    observations = settled_facts(ORDERS)
    kill = replace(
        fired_as(("killed", observations.planned[0].order_id, "reserve", 1)), fault="crash"
    )
    observations.fired = [kill]
    found = disturbances_of([], observations, logs, since=MIDNIGHT + 15.0)
    assert {gone.why for gone in found} == {"killed killed a process", "worker was away"}


def test_only_a_long_pause_of_the_machine_is_a_disturbance() -> None:
    observations = settled_facts(ORDERS)
    observations.stalls = [
        ("client", 1.0, 1.1, 0.1),
        ("server", 2.0, 2.5, 0.4),
        ("line", 3.0, 9.0, 6.0),
    ]
    assert [(gone.begin, gone.end) for gone in stood_still(observations)] == [(2.0, 2.5)]


@pytest.mark.parametrize(
    ("point", "explained"),
    [
        ("inventory.after_commit", True),
        ("inventory.before_response", True),
        ("inventory.on_request", False),
        ("worker.before_request", False),
    ],
)
async def test_a_busy_warehouse_explains_what_comes_after_its_database(
    point: str, *, explained: bool
) -> None:
    observations = settled_facts(ORDERS)
    order_id = observations.planned[0].order_id
    observations.turned_away = frozenset({(order_id, "reserve", 1)})

    async def attempts(_: object) -> list[Attempt]:
        return [Attempt("reserve", 1, "reserve: answer 503 cannot be believed", 1.0, 2.0)]

    found = await compare(
        [("late", order_id, "reserve", 1)], {"late": point}, observations, attempts, [], frozenset()
    )
    assert (not found.unexplained) == explained


class SlowProxy:
    """A proxy that stays cut until it is let go, whatever the plan says."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.cuts = 0

    async def cut(self, link: str, seconds: float) -> None:
        self.cuts += 1
        await self.let_go.wait()

    async def partition(self, link: str, seconds: float) -> None:
        raise AssertionError(link)


async def test_shoppers_come_later_while_an_event_takes_longer_than_planned(
    tmp_path: Path,
) -> None:
    """Otherwise the last events of a slow machine would meet no order, and prove nothing."""
    proxy, cut = SlowProxy(), Event("proxy-cut", "row", "cut", "temporal")
    stack = Stack(StackSettings(home=tmp_path / "home", ports=Ports.free()))
    events = Nemesis([system_of(stack)], tmp_path / "events.jsonl", network=proxy)
    run = asyncio.create_task(
        events.run([ScheduledEvent(0.0, cut, 0), ScheduledEvent(0.05, cut, 1)])
    )
    while events.behind_s() <= 0.0:  # noqa: ASYNC110  time passes, that is no event
        await asyncio.sleep(0.01)
    start = time.monotonic()
    coming = asyncio.create_task(wait_until_due(start, events.behind_s))
    await wait_until_due(start + 0.2, no_delay)
    assert not coming.done()
    proxy.let_go.set()
    await run
    assert proxy.cuts == 2
    late_s = events.behind_s()
    assert late_s == events.behind_s()
    assert await coming == pytest.approx(start + late_s)


async def test_everybody_comes_later_while_the_machine_keeps_the_run_from_going_on(
    tmp_path: Path,
) -> None:
    """Otherwise shoppers of a starved run meet nothing but each other's retries."""
    proxy, cut = SlowProxy(), Event("proxy-cut", "row", "cut", "temporal")
    proxy.let_go.set()
    stack = Stack(StackSettings(home=tmp_path / "home", ports=Ports.free()))
    events = Nemesis([system_of(stack)], tmp_path / "events.jsonl", network=proxy)
    async with Stalls(lambda: None) as stalls:
        lost_s = stalls.lost_from_now()
        run = asyncio.create_task(events.run([ScheduledEvent(0.2, cut, 0)], lost_s))
        start = time.monotonic()
        coming = asyncio.create_task(wait_until_due(start + 0.2, events.behind_s))
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251  so it does stand still
        await stalls.caught_up()
        assert lost_s() >= 0.2
        assert not coming.done()
        assert not proxy.cuts
        await run
        assert await coming >= start + 0.4
        assert stalls.lost_from_now()() < 0.2
