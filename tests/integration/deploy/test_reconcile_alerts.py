"""promtool runs the alert rules of the nightly comparison: what it found, and when it was made."""

from pathlib import Path

import pytest

from tests.support.promtool import PROMETHEUS, check_rules, quiet, rule_test, series, told

RULES = PROMETHEUS / "backup_rules.yml"
UP = 'up{service="backup"}'
SUCCESS = "backup_last_success_timestamp_seconds"
COMPARED = f'{SUCCESS}{{step="reconcile"}}'
VIOLATIONS = "backup_reconcile_violations"
A_MINUTE = "60"  # promtool's clock begins at 0 seconds, which is our "never"


def test_what_a_nightly_comparison_finds_is_a_ticket(promtool: str, tmp_path: Path) -> None:
    """Also a single one; nothing compared is not nothing found, and no alarm of this kind."""
    summary = "Orders and inventory disagree in 3 places"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("ReconcileFoundViolations", "45s"),
            told("ReconcileFoundViolations", "60s", "ticket", summary),
            quiet("ReconcileFoundViolations", "75s"),
            interval="15s",
            series=[
                series(f'{VIOLATIONS}{{instance="a"}}', "NaN 0x2 3 0x5"),
                series(f'{VIOLATIONS}{{instance="b"}}', "0x8"),
            ],
        ),
        every="15s",
    )


def test_a_comparison_is_overdue_after_26_hours(promtool: str, tmp_path: Path) -> None:
    known = [
        series(COMPARED, f"{A_MINUTE}x1700"),
        series(f'{SUCCESS}{{step="seal"}}', "0+60x1700"),
        series(UP, "1x1700"),
    ]
    summary = "Orders were last compared with inventory 1d 2h 1m 0s ago (limit 26 h)"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("ReconcileOverdue", "26h1m"),
            told("ReconcileOverdue", "26h2m", "ticket", summary),
            quiet("NeverReconciled", "27h"),
            interval="1m",
            series=known,
        ),
        every="1m",
    )


@pytest.mark.parametrize("known", ["_x1700", "0x1700"], ids=["no number", "nought"])
def test_never_compared_is_told_after_26_hours_and_no_new_installation_is_blamed(
    promtool: str, tmp_path: Path, known: str
) -> None:
    summary = "For 26 h nobody has compared orders with inventory"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("NeverReconciled", "25h59m"),
            told("NeverReconciled", "26h1m", "ticket", summary),
            quiet("ReconcileOverdue", "27h"),
            interval="1m",
            series=[series(COMPARED, known), series(UP, "1x1700")],
        ),
        every="1m",
    )


def test_of_a_process_that_is_gone_one_alert_is_enough(promtool: str, tmp_path: Path) -> None:
    """What it compared was long ago by now, and nobody has to be told so twice."""
    gone = "The backup process does not answer; nobody seals, proves or copies"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            told("BackupProcessGone", "32h", "page", gone, service="backup"),
            quiet("ReconcileOverdue", "32h"),
            quiet("NeverReconciled", "32h"),
            quiet("ReconcileFoundViolations", "32h"),
            interval="1m",
            series=[
                series(COMPARED, f"{A_MINUTE}x60 stale"),
                series(VIOLATIONS, "0x60 stale"),
                series(UP, "1x60 0x2000"),
            ],
        ),
        every="1m",
    )


@pytest.mark.parametrize(
    ("rule", "laxer", "alert", "at", "known"),
    [
        ("violations) > 0", "violations) > 1", "ReconcileFoundViolations", "1m", (VIOLATIONS, "1")),
        (
            '"reconcile"} > 0) > 26',
            '"reconcile"} > 0) > 27',
            "ReconcileOverdue",
            "26h2m",
            (COMPARED, "60"),
        ),
    ],
)
def test_promtool_would_see_another_limit(
    promtool: str,
    tmp_path: Path,
    rule: str,
    laxer: str,
    alert: str,
    at: str,
    known: tuple[str, str],
) -> None:
    """The checks above can fail."""
    text = RULES.read_text()
    assert rule in text
    altered = tmp_path / "altered.yml"
    altered.write_text(text.replace(rule, laxer))
    name, value = known
    test = rule_test(quiet(alert, at), interval="1m", series=[series(name, f"{value}x1700")])
    check_rules(promtool, tmp_path, altered, test, every="1m")
    with pytest.raises(AssertionError):
        check_rules(promtool, tmp_path, RULES, test, every="1m")
