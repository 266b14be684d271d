"""The benchmark's own sums: a wrong percentile would make every verdict worthless."""

from bench.harness.load import CLIENT_TIMEOUT_S, Answers
from bench.harness.results import at_least, at_most, shown
from bench.harness.stack import CpuUsage
from service_kit.observability.percentile import percentile


def test_a_percentile_is_a_value_that_was_measured_and_not_one_in_between() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 1.0) == 100.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([7.0], 0.99) == 7.0


def test_one_slow_answer_in_fifty_shows_in_the_99th_percentile() -> None:
    assert percentile([0.01] * 49 + [2.0], 0.99) == 2.0


def test_the_rate_counts_what_was_answered_in_time_and_not_what_was_sent() -> None:
    answers = Answers(lasted_s=2.0, sent=10)
    for _ in range(6):
        answers.add(0.1, 201, 0.0)
    assert answers.rate == 3.0


def test_orders_that_are_refused_quickly_are_neither_fast_nor_many() -> None:
    answers = Answers(lasted_s=1.0)
    for status in (201, 202, 409, 503, 422, 0):
        answers.add(0.01, status, 0.0)
    assert answers.rate == 2.0
    assert sorted(answers.latencies_s) == [0.01] * 3 + [CLIENT_TIMEOUT_S] * 3


def test_answers_are_described_with_the_most_frequent_status_first() -> None:
    answers = Answers()
    for status in (201, 202, 202, 0):
        answers.add(0.1, status, 0.0)
    assert answers.describe().startswith("2 x 202")
    assert "1 x no answer" in answers.describe()


def test_cpu_is_shared_out_over_all_orders_that_were_sent() -> None:
    effort = CpuUsage(
        cpu_s={"worker": 0.5, "order_api": 0.2, "inventory_api": 0.1, "temporal": 9.0}
    )
    assert effort.ms("worker", 100) == 5.0
    assert effort.ours_ms(100) == 8.0


def test_a_bar_is_met_by_the_value_on_it_and_missed_by_the_next() -> None:
    assert at_most(60, "ms", 60.0) == {"bar": "<= 60 ms", "met": True}
    assert at_most(60, "ms", 60.1)["met"] is False
    assert at_least(0.75, "", 0.75) == {"bar": ">= 0.75", "met": True}
    assert at_least(0.75, "", 0.7499)["met"] is False


def test_figures_are_shown_with_about_three_digits() -> None:
    assert [shown(value) for value in (12345.6, 123.4, 12.34, 1.234)] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
    ]
