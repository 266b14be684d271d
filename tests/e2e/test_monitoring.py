"""A real Prometheus watches the whole stack: each panel and rule has data, the alert is the tile.

In the long form: it takes a minute and a half, most of it for windows of 30 s to pass.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from deploy.local.services import ORDER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.support import prometheus
from tests.support.database_checks import until
from tests.support.prometheus import Prometheus, scraping
from tests.support.promtool import PROMETHEUS
from tests.support.system_under_test import SystemUnderTest

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

DASHBOARD = PROMETHEUS.parent / "grafana" / "dashboard.json"
ALERT = 'ALERTS{alertname="OrdersAnsweredTooSlowly",alertstate="firing"}'
# A scrape and an evaluation, each every second, and a look at the tile.
WITHIN_S = 2.5
# What exists only once something has gone wrong, or was done for the first time: a comparison comes
# at night, a drill by a person's command. promtool knows these rules (tests/integration/deploy).
NOT_YET = {"ServerErrors", "BackgroundWorkFails"} | {
    *("ReconcileOverdue", "NeverReconciled", "DrillOverdue", "NeverDrilled")
}


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[SystemUnderTest, Prometheus]]:
    """Run a stack with backups, and Prometheus in front of it."""
    if reason := prometheus.why_not():
        pytest.skip(reason)
    ports = Ports.free()
    settings = StackSettings(home=folder / "home", backup_home=folder / "backup", ports=ports)
    async with (
        Stack(settings) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        scraping(_scraped(stack), session, folder) as found,
    ):
        system = SystemUnderTest(stack, session)
        await system.list_products()

        async def all_up() -> bool:
            targets = await found.targets()
            return set(targets) == set(_scraped(stack)) and set(targets.values()) == {"up"}

        await until(all_up, 60.0, "all services scraped")
        yield system, found


def _scraped(stack: Stack) -> dict[str, int]:
    """Return the ports of what our own configuration looks for, by the names of containers."""
    named = re.findall(r"names: \[([a-z-]+)\]", (PROMETHEUS / "prometheus.yml").read_text())
    assert named
    return {name: stack.services.ports[name] for name in (each.replace("-", "_") for each in named)}


def _always_true(expression: str) -> str:
    """Return the expression with a value wherever what it compares has one."""
    compared = re.sub(r"(?<=\s)(>|<|==)(?=\s)", r"\1 bool", expression)
    return compared.replace("absent(", "(")


async def test_every_panel_and_every_rule_has_data_under_load(tmp_path: Path) -> None:
    panels = {
        f"{panel['title']}: {target['expr']}": target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    }
    async with watched(tmp_path) as (system, found):
        lines = {await system.shelf(): 1}
        # Some retries, and effects that are there already.
        async with system.rule("lost", "inventory.after_commit", "error", share=0.2, attempts=(1,)):
            await system.stream(4.0, 120, lines, system.customer())
        rules = {rule["name"]: rule["query"] for rule in await found.rules()}
        assert [rule for rule in await found.rules() if rule["health"] == "err"] == []
        assert len(rules) > 15
        asked = panels | {name: query for name, query in rules.items() if name not in NOT_YET}
        empty = {
            what for what, query in asked.items() if not await found.query(_always_true(query))
        }
    assert not empty


async def test_the_alert_comes_and_goes_in_the_second_of_the_tile(tmp_path: Path) -> None:
    async with watched(tmp_path) as (system, found):
        lines = {await system.shelf(): 1}
        turned: list[tuple[str, float]] = []

        async def tile() -> None:
            token = system.token("otto", "staff")
            while True:
                async with system.session.get(
                    f"{system.stack.url(ORDER)}/v1/ops/response-time",
                    headers={"Authorization": f"Bearer {token}"},
                ) as answer:
                    state = (await answer.json())["state"]
                if not turned or turned[-1][0] != state:
                    turned.append((state, time.time()))
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(tile())
        began = time.time()
        await system.stream(4.0, 20, lines, system.customer())
        async with system.rule("slow", "inventory.before_commit", "delay", delay_s=5.0):
            await system.stream(4.0, 40, lines, system.customer())
        await system.stream(4.0, 120, lines, system.customer())

        async def is_green_again() -> bool:
            return [state for state, _ in turned][-2:] == ["red", "green"]

        await until(is_green_again, 60.0, "the tile is green again")
        await asyncio.sleep(3)  # for the scrape and the evaluation of that second
        fired = sorted(await found.values(ALERT, began, time.time()))
        looking.cancel()
    red_at = next(at for state, at in turned if state == "red")
    green_at = turned[-1][1]
    assert abs(fired[0] - red_at) <= WITHIN_S
    assert abs(fired[-1] + 1 - green_at) <= WITHIN_S
    assert len(fired) == fired[-1] - fired[0] + 1, "it does not flap"
