"""promtool runs the alert rules of backups at their limits, and beyond."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.promtool import PROMETHEUS, check_rules, quiet, rule_test, series, told

RULES = PROMETHEUS / "backup_rules.yml"
UP = 'up{service="backup"}'
PROVEN = "backup_newest_proven_timestamp_seconds"
LAG = "backup_archive_lag_seconds"
SUCCESS = "backup_last_success_timestamp_seconds"
DRILLED = f'{SUCCESS}{{step="drill"}}'
A_MINUTE = "60"  # promtool's clock begins at 0 seconds, which is our "never"


def test_a_restore_point_older_than_26_hours_pages(promtool: str, tmp_path: Path) -> None:
    """The newest that any process knows counts; at the limit all is still well."""
    known = [
        series(f'{PROVEN}{{instance="a"}}', f"{A_MINUTE}x1700"),
        series(f'{PROVEN}{{instance="b"}}', "0x1700"),
    ]
    summary = "The newest proven restore point is 1d 2h 1m 0s old (limit 26 h)"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("RestorePointTooOld", "26h1m"),
            told("RestorePointTooOld", "26h2m", "page", summary),
            quiet("NoProvenRestorePoint", "27h"),
            interval="1m",
            series=known,
        ),
        every="1m",
    )


@pytest.mark.parametrize("known", ["_x1700", "0x1700"], ids=["no number", "nought"])
def test_nothing_proven_for_26_hours_pages_and_a_new_installation_does_not(
    promtool: str, tmp_path: Path, known: str
) -> None:
    summary = "For 26 h nobody has known of a restore point that was proven"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("NoProvenRestorePoint", "25h59m"),
            told("NoProvenRestorePoint", "26h1m", "page", summary),
            quiet("RestorePointTooOld", "27h"),
            interval="1m",
            series=[series(PROVEN, known)],
        ),
        every="1m",
    )


def test_a_log_that_waits_longer_than_120_seconds_pages(promtool: str, tmp_path: Path) -> None:
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("ArchiveLags", "15s"),
            told(
                *("ArchiveLags", "30s", "page"),
                "The log has waited 121 s to be archived (limit 120 s)",
            ),
            quiet("ArchiveLags", "45s"),
            interval="15s",
            series=[series(LAG, "0 120 121 3")],
        ),
        every="15s",
    )


def test_an_archive_that_is_switched_off_is_told_though_nothing_lags(
    promtool: str, tmp_path: Path
) -> None:
    summary = "Restore points are worth less than they should be: problems 2"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("ArchiveProblems", "25m"),  # a look that failed in between
            told("ArchiveProblems", "46m", "ticket", summary),
            quiet("ArchiveLags", "46m"),
            interval="1m",
            series=[series("backup_archive_problems", "0x5 1x9 0x14 2x40"), series(LAG, "0x70")],
        ),
        every="1m",
    )


@pytest.mark.parametrize("away", ["0x40", "stale _x39"], ids=["does not answer", "has no replica"])
def test_the_backup_process_may_be_away_for_five_minutes(
    promtool: str, tmp_path: Path, away: str
) -> None:
    summary = "The backup process does not answer; nobody seals, proves or copies"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("BackupProcessGone", "5m30s"),
            told("BackupProcessGone", "6m15s", "page", summary, service="backup"),
            interval="15s",
            series=[series(UP, f"1x3 {away}"), series('up{service="ui"}', "0x44")],
        ),
        every="15s",
    )


SERVICES = ("order_api", "inventory_api", "worker", "subscribers", "ui")


@pytest.mark.parametrize("seen", [True, False], ids=["does not answer", "has no replica"])
@pytest.mark.parametrize("gone", SERVICES)
def test_services_that_are_gone_page_at_once_but_not_the_backup_process(
    promtool: str, tmp_path: Path, gone: str, seen: bool
) -> None:
    others = [series(f'up{{service="{each}"}}', "1x20") for each in SERVICES if each != gone]
    known = [series(f'up{{service="{gone}"}}', "0x20")] if seen else []
    check_rules(
        promtool,
        tmp_path,
        PROMETHEUS / "rules.yml",
        rule_test(
            told("ServiceGone", "10s", "page", f"{gone} does not answer", service=gone),
            interval="1s",
            series=[series(UP, "0x20"), *others, *known],
        ),
        every="1s",
    )


def test_a_store_that_lacks_copies_for_hours_is_told(promtool: str, tmp_path: Path) -> None:
    known = [
        series('backup_copies{store="copies"}', "6x60 7x400"),
        series('backup_copies{store="offsite"}', "6x60 5x400"),
        # an hour late, as after a short outage
        series('backup_copies{store="slow"}', "6x120 7x340"),
    ]
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("CopiesMissing", "3h59m"),
            lacking("offsite", "4h5m"),
            interval="1m",
            series=known,
        ),
        every="1m",
    )


def test_a_store_that_has_the_last_seven_days_need_not_be_the_fullest(
    promtool: str, tmp_path: Path
) -> None:
    known = [
        series('backup_copies{store="copies"}', "24x400"),
        series('backup_copies{store="new"}', "7x400"),
    ]
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(quiet("CopiesMissing", "6h"), interval="1m", series=known),
        every="1m",
    )


def test_a_store_that_was_away_for_long_has_as_many_as_ever_and_is_told(
    promtool: str, tmp_path: Path
) -> None:
    newest = "backup_newest_copy_timestamp_seconds"
    known = [
        series(PROVEN, "1000x400"),
        series(f'{newest}{{store="copies"}}', "1000x400"),
        series(f'{newest}{{store="offsite"}}', "900x400"),
        series('backup_copies{store="copies"}', "24x400"),
        series('backup_copies{store="offsite"}', "24x400"),
    ]
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("CopiesMissing", "2h59m"),
            lacking("offsite", "3h5m"),
            interval="1m",
            series=known,
        ),
        every="1m",
    )


def lacking(store: str, at: str) -> dict[str, Any]:
    summary = f"The store {store} lacks copies that it should have"
    return told("CopiesMissing", at, "ticket", summary, store=store)


def test_a_drill_is_due_after_35_days(promtool: str, tmp_path: Path) -> None:
    steps = [
        series(DRILLED, f"{A_MINUTE}x900"),
        series(f'{SUCCESS}{{step="seal"}}', "0+3600x900"),
    ]
    summary = "The last good drill was 35d 1h 59m 0s ago (limit 35 days)"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("DrillOverdue", f"{35 * 24}h"),
            told("DrillOverdue", f"{35 * 24 + 2}h", "ticket", summary),
            quiet("NeverDrilled", f"{36 * 24}h"),
            interval="1h",
            series=steps,
        ),
        every="1h",
    )


def test_who_never_drilled_is_told_after_35_days(promtool: str, tmp_path: Path) -> None:
    summary = "For 35 days nobody has tried whether everything can be brought back"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("NeverDrilled", f"{35 * 24 - 1}h"),
            told("NeverDrilled", f"{35 * 24 + 1}h", "ticket", summary),
            quiet("DrillOverdue", f"{36 * 24}h"),
            interval="1h",
            series=[series(DRILLED, "0x900")],
        ),
        every="1h",
    )


@pytest.mark.parametrize(
    ("rule", "laxer", "alert", "at", "every", "known"),
    [
        ("> 26 *", "> 25 *", "RestorePointTooOld", "26h1m", "1m", series(PROVEN, "60x1700")),
        ("> 120", ">= 120", "ArchiveLags", "15s", "15s", series(LAG, "0 120 3")),
        ("for: 5m", "for: 1m", "BackupProcessGone", "3m", "15s", series(UP, "1 0x40")),
    ],
)
def test_promtool_would_see_another_limit(
    promtool: str,
    tmp_path: Path,
    rule: str,
    laxer: str,
    alert: str,
    at: str,
    every: str,
    known: dict[str, str],
) -> None:
    """The checks above can fail."""
    text = RULES.read_text()
    assert rule in text
    altered = tmp_path / "altered.yml"
    altered.write_text(text.replace(rule, laxer))
    test = rule_test(quiet(alert, at), interval=every, series=[known])
    check_rules(promtool, tmp_path, RULES, test, every=every)
    with pytest.raises(AssertionError):
        check_rules(promtool, tmp_path, altered, test, every=every)
