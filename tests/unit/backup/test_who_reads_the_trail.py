"""What the backup process tells fits those who read it: the operations page, alerts, dashboards."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from backup import contracts, metrics
from tests.support.trail_answers import trail
from ui.clients.backup import Trail

MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"


def test_the_operations_page_reads_what_the_process_answers() -> None:
    answer = contracts.Trail.model_validate(trail())
    assert Trail.model_validate_json(answer.model_dump_json()) == Trail.model_validate(trail())


@pytest.mark.parametrize("file", ["prometheus/backup_rules.yml", "grafana/dashboard.json"])
def test_only_metrics_that_there_are_are_asked_for(file: str) -> None:
    asked = set(re.findall(r"\bbackup_[a-z_]+(?=[\s{()\[]|$)", (MONITORING / file).read_text()))
    shown = {family.name for family in REGISTRY.collect()}
    assert len(asked) >= 4
    assert asked <= shown


def test_every_step_that_an_alert_waits_for_is_noted() -> None:
    steps = re.findall(r'step="([a-z]+)"', (MONITORING / "prometheus/backup_rules.yml").read_text())
    assert steps
    assert set(steps) <= {metrics.DRILL, metrics.BASE, metrics.PRUNE, metrics.RECONCILE}
