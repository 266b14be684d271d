"""The Grafana dashboard asks only for what the services really show."""

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.integration.serving import Served, bearer

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboard.json"
_WORDS = {"sum", "rate", "max", "increase", "ignoring", "histogram_quantile", "status", "point"}
# Of the worker's and order_api's process, where the SDK serves them; of the add-ons' process; of
# a process with fault injection; and what Prometheus itself makes.
_ELSEWHERE = ("temporal_", "subscriber_", "faults_fired", "valerix:", "saga_step_attempts")


def asked_for() -> set[str]:
    found: set[str] = set()
    for panel in json.loads(GRAFANA.read_text())["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            expression = re.sub(r"by \([^)]*\)|ignoring\([^)]*\)|\{[^}]*\}", " ", target["expr"])
            found |= set(re.findall(r"[a-z][a-z0-9_:]*_[a-z0-9_:]+", expression)) - _WORDS
    return found


def test_every_panel_asks_for_metrics_that_exist(order_app: Served, inventory_app: Served) -> None:
    httpx.post(
        f"{order_app.url}/v1/orders",
        headers={**bearer(), "Idempotency-Key": "a"},
        json={"lines": [{"sku": "MUG-BLUE", "quantity": 1}]},
    )
    httpx.get(f"{order_app.url}/v1/ops/summary", headers=bearer("staff"))
    shown = "".join(httpx.get(f"{app.url}/metrics").text for app in (order_app, inventory_app))
    names = asked_for()
    assert len(names) > 10
    missing = [
        name
        for name in sorted(names)
        if not name.startswith(_ELSEWHERE) and name.removesuffix("_total") not in shown
    ]
    assert missing == []


def test_the_dashboard_has_the_panels_of_the_operations_page() -> None:
    titles = " ".join(panel["title"] for panel in json.loads(GRAFANA.read_text())["panels"])
    for wanted in (
        "Average response time",
        "Services",
        "status",
        "Response time",
        "Throughput",
        "Unfinished",
        "Oldest",
        "Retries and replays",
        "Faults fired",
    ):
        assert wanted in titles


@pytest.mark.parametrize("key", ["refresh", "time"])
def test_it_shows_the_last_five_minutes_live(key: str) -> None:
    expected = {"refresh": "1s", "time": {"from": "now-5m", "to": "now"}}
    assert json.loads(GRAFANA.read_text())[key] == expected[key]
