"""The Grafana dashboard asks only for what the services really show."""

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Served, bearer

GRAFANA = Path(__file__).parents[3] / "deploy" / "monitoring" / "grafana" / "dashboard.json"
_WORDS = {"sum", "rate", "max", "increase", "ignoring", "histogram_quantile", "status", "point"}
# Of the worker's and order_api's process, where the SDK serves them; of subscribers; of the
# backup process; of a process with fault injection; and what Prometheus itself makes.
_ELSEWHERE = ("temporal_", "subscriber_", "backup_", "faults_", "valerix:", "saga_step_attempts")


def asked_for() -> set[str]:
    found: set[str] = set()
    for panel in json.loads(GRAFANA.read_text())["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            expression = re.sub(r"by \([^)]*\)|ignoring\([^)]*\)|\{[^}]*\}", " ", target["expr"])
            found |= set(re.findall(r"[a-z][a-z0-9_:]*_[a-z0-9_:]+", expression)) - _WORDS
    return found


def test_every_panel_asks_for_metrics_that_exist(order_app: Served, inventory_app: Served) -> None:
    names = asked_for()
    assert len(names) > 10

    def missing() -> list[str]:
        """Place the order and look at the figures: a busy machine may say 503 to either."""
        with httpx.Client(timeout=30) as http:
            http.post(
                f"{order_app.url}/v1/orders",
                headers={**bearer(), "Idempotency-Key": "a"},
                json={"lines": [{"sku": "MUG-BLUE", "quantity": 1}]},
            )
            http.get(f"{order_app.url}/v1/ops/summary", headers=bearer("staff"))
            shown = "".join(
                http.get(f"{app.url}/metrics").text for app in (order_app, inventory_app)
            )
        return [
            name
            for name in sorted(names)
            if not name.startswith(_ELSEWHERE) and name.removesuffix("_total") not in shown
        ]

    assert any(missing() == [] for _ in range(5)), missing()


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
        "Newest proven restore point",
        "Archive lag",
        "Copies",
        "Legacy call",
    ):
        assert wanted in titles


@pytest.mark.parametrize("key", ["refresh", "time"])
def test_it_shows_the_last_five_minutes_live(key: str) -> None:
    expected = {"refresh": "1s", "time": {"from": "now-5m", "to": "now"}}
    assert json.loads(GRAFANA.read_text())[key] == expected[key]


def expressions() -> list[str]:
    panels = json.loads(GRAFANA.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_refused_requests_are_in_no_percentile_of_orders() -> None:
    percentiles = [each for each in expressions() if "request_duration_seconds_bucket" in each]
    assert len(percentiles) == 3
    for each in percentiles:
        assert 'status=~"[25]..|409"' in each


@pytest.mark.parametrize("gauge", ["recent", "unfinished", "waiting", "oldest_unfinished_seconds"])
def test_what_every_replica_reads_from_the_one_database_is_not_added_up(gauge: str) -> None:
    found = [each for each in expressions() if f"orders_{gauge}" in each]
    assert found
    for each in found:
        assert each.startswith("max")
