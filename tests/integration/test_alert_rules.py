"""promtool runs the alert rules on the vectors of the in-process window, and reads our files."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.response_time_vectors import SECONDS, VECTORS, average_at, played

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
ALERT = "OrdersAnsweredTooSlowly"


@pytest.fixture(scope="module")
def promtool() -> str:
    """The tool on PATH, or from Debian's package."""
    if found := shutil.which("promtool"):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in ("update -qq", "install -y -qq --no-install-recommends prometheus"):
            subprocess.run(
                ["apt-get", *command.split()], capture_output=True, check=False, timeout=240
            )
        if found := shutil.which("promtool"):
            return found
    pytest.skip("No promtool: not on PATH, and Debian's package prometheus could not be had.")


def run(promtool: str, *arguments: str) -> str:
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def series(name: str, values: list[float]) -> dict[str, str]:
    return {"series": name, "values": " ".join(f"{value!r}" for value in values)}


def rule_test(name: str) -> dict[str, Any]:
    trace = VECTORS[name]
    window = [times.sum_and_count() for _, times in played(trace)]
    checks = []
    for second in range(SECONDS + 1):
        average = average_at(trace, second)
        red = average is not None and average > 1
        checks.append(
            {
                "eval_time": f"{second}s",
                "alertname": ALERT,
                "exp_alerts": [
                    {
                        "exp_labels": {"severity": "page"},
                        "exp_annotations": {
                            "summary": f"Orders take {average:.2f} s on average to be answered"
                            " (limit 1 s)",
                            "runbook": "docs/runbook.md",
                        },
                    }
                ]
                if red
                else [],
            }
        )
    # two replicas, the second one idle: sums have to be added before dividing
    return {
        "name": name,
        "interval": "1s",
        "input_series": [
            series('order_response_window_seconds{instance="a"}', [total for total, _ in window]),
            series('order_response_window_requests{instance="a"}', [n for _, n in window]),
            series('order_response_window_seconds{instance="b"}', [0.0] * len(window)),
            series('order_response_window_requests{instance="b"}', [0] * len(window)),
        ],
        "alert_rule_test": checks,
    }


def test_the_alert_fires_exactly_when_the_window_is_red(promtool: str, tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"  # YAML is a superset
    file.write_text(
        json.dumps(
            {
                "rule_files": [str(PROMETHEUS / "rules.yml")],
                "evaluation_interval": "1s",
                "tests": [rule_test(name) for name in VECTORS],
            }
        )
    )
    run(promtool, "test", "rules", str(file))


def test_promtool_would_see_an_alert_at_the_limit(promtool: str, tmp_path: Path) -> None:
    """The check above can fail: with >= in the rule, a vector is caught."""
    rules = (PROMETHEUS / "rules.yml").read_text().replace("average30s > 1", "average30s >= 1")
    (tmp_path / "rules.yml").write_text(rules)
    file = tmp_path / "vectors.json"
    file.write_text(
        json.dumps(
            {
                "rule_files": ["rules.yml"],
                "evaluation_interval": "1s",
                "tests": [rule_test("exactly the limit")],
            }
        )
    )
    with pytest.raises(AssertionError):
        run(promtool, "test", "rules", str(file))


def test_the_configuration_is_valid_and_scrapes_often_enough(promtool: str) -> None:
    said = run(promtool, "check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert "5 rules found" in said or "6 rules found" in said
    assert "scrape_interval: 1s" in (PROMETHEUS / "prometheus.yml").read_text()
