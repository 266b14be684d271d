"""promtool runs the alert rules of legacy calls at their limits, and beyond."""

from pathlib import Path

import pytest

from tests.support.promtool import PROMETHEUS, check_rules, quiet, rule_test, series, told

RULES = PROMETHEUS / "backup_rules.yml"
UP = 'up{service="backup"}'
CALLED = "backup_last_legacy_call_timestamp_seconds"
A_MINUTE = "60"  # promtool's clock begins at 0 seconds, which is our "never"


@pytest.mark.parametrize("state", ["unknown", "refused"])
def test_a_call_that_does_not_count_for_sure_is_a_note(
    promtool: str, tmp_path: Path, state: str
) -> None:
    states = ("not_yet", "claimed", "done", "refused", "unknown")
    known = [
        series(
            f'backup_legacy_call_state{{state="{each}"}}',
            "0x3 1x3 0x3" if each == state else "1x3 0x3 1x3" if each == "done" else "0x9",
        )
        for each in states
    ]
    summary = f"Today's legacy call is {state}; tomorrow's capsule holds today, too"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("LegacyCallNotConfirmed", "30s"),
            told("LegacyCallNotConfirmed", "75s", "note", summary, state=state),
            quiet("LegacyCallNotConfirmed", "2m"),
            interval="15s",
            series=known,
        ),
        every="15s",
    )


def test_two_days_without_a_legacy_call_are_told(promtool: str, tmp_path: Path) -> None:
    """The date is counted from its beginning; one that has no call yet is no alert."""
    summary = "The last date with a legacy call began 2d 2h 1m 0s ago (limit 50 h)"
    known = [
        series(f'{CALLED}{{instance="a"}}', f"{A_MINUTE}x3100"),
        series(f'{CALLED}{{instance="b"}}', "0x3100"),
        series(UP, "1x3100"),
    ]
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("LegacyCallsMissing", "50h1m"),
            told("LegacyCallsMissing", "50h2m", "ticket", summary),
            quiet("NeverCalledLegacy", "51h"),
            interval="1m",
            series=known,
        ),
        every="1m",
    )


def test_an_installation_that_never_called_is_told_and_one_without_its_process_is_not(
    promtool: str, tmp_path: Path
) -> None:
    summary = "For 50 h no legacy call of any date has been known to be done"
    nobody = rule_test(
        quiet("NeverCalledLegacy", "55h"), interval="1m", series=[series(UP, "0x3400")]
    )
    check_rules(
        promtool,
        tmp_path,
        RULES,
        rule_test(
            quiet("NeverCalledLegacy", "49h59m"),
            told("NeverCalledLegacy", "50h1m", "ticket", summary),
            quiet("LegacyCallsMissing", "51h"),
            interval="1m",
            series=[series(UP, "1x3100"), series(CALLED, "0x3100")],
        ),
        nobody,
        every="1m",
    )


def test_promtool_would_see_another_limit(promtool: str, tmp_path: Path) -> None:
    """The checks above can fail."""
    altered = tmp_path / "altered.yml"
    text = RULES.read_text()
    assert "> 50 *" in text
    altered.write_text(text.replace("> 50 *", "> 49 *"))
    test = rule_test(
        quiet("LegacyCallsMissing", "50h1m"), interval="1m", series=[series(CALLED, "60x3100")]
    )
    check_rules(promtool, tmp_path, RULES, test, every="1m")
    with pytest.raises(AssertionError):
        check_rules(promtool, tmp_path, altered, test, every="1m")
