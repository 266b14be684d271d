"""promtool runs the alert rules on the vectors of the in-process window, and reads our files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.promtool import PROMETHEUS, check_rules, quiet, run, told
from tests.support.promtool import rule_test as promtool_test
from tests.support.promtool import series as promtool_series
from tests.support.response_time_vectors import SECONDS, VECTORS, Trace, Verdict, played, verdict_at

RULES = PROMETHEUS / "rules.yml"
SLOW, FAILING = "OrdersAnsweredTooSlowly", "OrdersFailing"


def series(name: str, values: Sequence[float]) -> dict[str, str]:
    return promtool_series(name, " ".join(f"{value!r}" for value in values))


def window_series(trace: Trace, instance: str) -> list[dict[str, str]]:
    seen = [(*times.sum_and_count(), times.counts()) for _, times in played(trace)]
    return [
        series(f'order_response_window_{name}{{instance="{instance}"}}', values)
        for name, values in (
            ("seconds", [total for total, _, _ in seen]),
            ("requests", [count for _, count, _ in seen]),
            ("attempts", [counts.attempts for _, _, counts in seen]),
            ("failed", [counts.failed for _, _, counts in seen]),
        )
    ]


def summaries(verdict: Verdict) -> dict[str, str | None]:
    """Return what each alert says, None while it is silent."""
    average, share = verdict
    return {
        SLOW: f"Orders take {average:.2f} s on average to be answered (limit 1 s)"
        if average is not None and "slow" in verdict.reasons
        else None,
        FAILING: f"{share * 100:.4g}% of orders end in an error of ours (limit 5%)"
        if share is not None and "failing" in verdict.reasons
        else None,
    }


def rule_test(name: str) -> dict[str, Any]:
    trace = VECTORS[name]
    checks = [
        told(alert, f"{second}s", "page", summary) if summary else quiet(alert, f"{second}s")
        for second in range(SECONDS + 1)
        for alert, summary in summaries(verdict_at(trace, second)).items()
    ]
    # two replicas, each with every second request: sums have to be added before dividing
    both = [*window_series(trace[::2], "a"), *window_series(trace[1::2], "b")]
    return {"name": name, **promtool_test(*checks, interval="1s", series=both)}


def test_the_alerts_fire_exactly_when_the_window_is_red_for_their_reason(
    promtool: str, tmp_path: Path
) -> None:
    tests = [rule_test(name) for name in VECTORS]
    check_rules(promtool, tmp_path, RULES, *tests, every="1s")


@pytest.mark.parametrize(
    ("rule", "laxer", "vector"),
    [
        ("average30s > 1", "average30s >= 1", "exactly the limit"),
        ("share30s > 0.05", "share30s >= 0.05", "one of twenty fails"),
    ],
)
def test_promtool_would_see_an_alert_at_the_limit(
    promtool: str, tmp_path: Path, rule: str, laxer: str, vector: str
) -> None:
    """The check above can fail: with >= in the rule, a vector is caught."""
    rules, lax = RULES.read_text(), tmp_path / "rules.yml"
    assert rule in rules
    lax.write_text(rules.replace(rule, laxer))
    with pytest.raises(AssertionError):
        check_rules(promtool, tmp_path, lax, rule_test(vector), every="1s")


def test_neither_scrapes_nor_refusals_thin_out_the_share_of_errors(
    promtool: str, tmp_path: Path
) -> None:
    def requests(method: str, route: str, status: int, per_s: int) -> dict[str, str]:
        labels = f'service="order_api",method="{method}",route="{route}",status="{status}"'
        name = f"http_server_request_duration_seconds_count{{{labels}}}"
        return promtool_series(name, f"0+{per_s}x120")

    failing = [requests("POST", "/v1/orders", 201, 9), requests("POST", "/v1/orders", 503, 1)]
    beside = [
        requests("GET", "/metrics", 200, 50),
        requests("GET", "/health", 200, 50),
        requests("POST", "/v1/orders", 401, 50),
        requests("GET", "unmatched", 404, 50),
    ]
    summary = "order_api fails 10% of what it is asked"
    check_rules(
        promtool,
        tmp_path,
        RULES,
        promtool_test(
            told("ServerErrors", "100s", "ticket", summary, service="order_api"),
            interval="1s",
            series=failing + beside,
        ),
        every="1s",
    )


def growing(series: str, first: int) -> dict[str, str]:
    """Return a series that begins at `first` and gains a second in each."""
    return promtool_series(series, f"{first}+1x60")


@pytest.mark.parametrize(
    ("alert", "labels", "input_series", "summary"),
    [
        (
            "AddOnBehind",
            {"subscriber": "notifications"},
            # as bad as the replica says that knows best; another one waits for its turn
            [
                growing('subscriber_behind_seconds{subscriber="notifications",instance="a"}', 290),
                growing('subscriber_behind_seconds{subscriber="notifications",instance="b"}', 900),
            ],
            "The subscriber notifications is 335 s behind",
        ),
        (
            "TransactionLeftOpen",
            {"service": "order_api"},
            [growing('postgres_oldest_transaction_seconds{service="order_api"}', 590)],
            "A transaction in the database of order_api is 635 s old",
        ),
    ],
)
def test_an_age_over_its_limit_is_told_once_it_has_lasted(
    promtool: str,
    tmp_path: Path,
    alert: str,
    labels: dict[str, str],
    input_series: list[dict[str, str]],
    summary: str,
) -> None:
    test = promtool_test(
        quiet(alert, "35s"),
        told(alert, "45s", "ticket", summary, **labels),
        interval="1s",
        series=input_series,
    )
    check_rules(promtool, tmp_path, RULES, test, every="1s")


def test_many_open_orders_and_orders_ahead_of_the_clock_are_told(
    promtool: str, tmp_path: Path
) -> None:
    """By count: after the clock was put back by an hour, ages say nothing for an hour."""
    ahead = "3 open orders are dated ahead of the database's clock"
    test = promtool_test(
        quiet("OrdersPilingUp", "140s"),
        told("OrdersPilingUp", "160s", "ticket", "501 orders are unfinished"),
        quiet("ClockWasPutBack", "80s"),
        told("ClockWasPutBack", "100s", "ticket", ahead),
        interval="10s",
        series=[
            series('orders_unfinished{instance="a"}', [500.0] * 9 + [501.0] * 20),
            series('orders_ahead_of_clock{instance="a"}', [0.0] * 9 + [3.0] * 20),
        ],
    )
    check_rules(promtool, tmp_path, RULES, test, every="1s")


def test_the_configuration_is_valid_and_scrapes_often_enough(promtool: str) -> None:
    said = run(promtool, "check", "config", str(PROMETHEUS / "prometheus.yml"))
    for file in (RULES, PROMETHEUS / "backup_rules.yml"):
        written = len(re.findall(r"^ +- (?:alert|record):", file.read_text(), re.MULTILINE))
        assert f"{written} rules found" in said, file.name
    assert "scrape_interval: 1s" in (PROMETHEUS / "prometheus.yml").read_text()
