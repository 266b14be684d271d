"""promtool: what it says of our files, and whether the alert rules do what a test expects."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "monitoring" / "prometheus"


def find() -> str | None:
    """Return the tool on PATH, or from Debian's package; None if neither can be had."""
    if found := shutil.which("promtool"):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in ("update -qq", "install -y -qq --no-install-recommends prometheus"):
            subprocess.run(
                ["apt-get", *command.split()], capture_output=True, check=False, timeout=240
            )
    return shutil.which("promtool")


def run(promtool: str, *arguments: str) -> str:
    """Return what it prints; AssertionError with all of that if it is not content."""
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def check_rules(
    promtool: str, folder: Path, rules: Path, *tests: dict[str, Any], every: str
) -> None:
    """Have the rules of a file judged by tests in promtool's own form; `folder` is for scraps.

    They are evaluated `every` so long, whatever the rules themselves say.
    """
    file = folder / "rule_tests.json"  # YAML is a superset
    content = {"rule_files": [str(rules)], "evaluation_interval": every, "tests": tests}
    file.write_text(json.dumps(content))
    run(promtool, "test", "rules", str(file))


def series(name: str, values: str) -> dict[str, str]:
    """Return a series as promtool is given it."""
    return {"series": name, "values": values}


def told(alert: str, at: str, severity: str, summary: str, **labels: str) -> dict[str, Any]:
    """Expect an alert with this summary at a time."""
    annotations = {"summary": summary, "runbook": "docs/runbook.md"}
    expected = {"exp_labels": {"severity": severity, **labels}, "exp_annotations": annotations}
    return {"eval_time": at, "alertname": alert, "exp_alerts": [expected]}


def quiet(alert: str, at: str) -> dict[str, Any]:
    """Expect no such alert at a time."""
    return {"eval_time": at, "alertname": alert, "exp_alerts": []}


def rule_test(
    *checks: dict[str, Any], interval: str, series: list[dict[str, str]]
) -> dict[str, Any]:
    """Return a test of alerts over these series."""
    return {"interval": interval, "input_series": series, "alert_rule_test": list(checks)}
