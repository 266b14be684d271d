"""The rolling average against the plainest way of computing it."""

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from order_api.contracts import Latency
from order_api.response_time import Outcome, ResponseTimes
from service_kit.observability.health import CheckResult
from tests.support.response_time_vectors import Clock

WINDOW_S = 30.0


class Request:
    """One measured request, kept for brute force."""

    def __init__(self, times: ResponseTimes, clock: Clock) -> None:
        times.begin(self, clock.now)
        self.began = clock.now
        self.ended: float | None = None
        self.outcome: Outcome = "answered"


OUTCOMES: dict[str, Outcome] = {each: each for each in get_args(Outcome)}
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["begin", "answered", "failed", "refused", "unseen", "turned away", "wait"]
        ),
        # multiples of a power of two: sums are exact, so equality may be asked for
        st.integers(0, 8 * 40).map(lambda n: n / 8),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_average_is_that_of_brute_force(drawn: list[tuple[str, float]]) -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    requests: list[Request] = []
    unseen: list[float] = []
    turned_away: list[float] = []
    for step, amount in drawn:
        running = [request for request in requests if request.ended is None]
        if step == "begin":
            requests.append(Request(times, clock))
        elif step in OUTCOMES and running:
            ending = running[int(amount) % len(running)]
            ending.ended, ending.outcome = clock.now, OUTCOMES[step]
            times.end(ending, ending.outcome)
        elif step == "unseen":
            times.end(object(), "refused")
            unseen.append(clock.now)
        elif step == "turned away":
            times.end(object(), "failed")
            turned_away.append(clock.now)
        else:
            clock.now += amount
        found = times.read()
        ages = [clock.now - request.began for request in requests if request.ended is None]
        over = clock.now - WINDOW_S
        recent = [each for each in requests if each.ended is not None and each.ended > over]
        took = [
            each.ended - each.began
            for each in recent
            if each.ended is not None and each.outcome != "refused"
        ]
        expected = ages + took
        failed_unseen = sum(at > over for at in turned_away)
        failed = failed_unseen + sum(each.outcome == "failed" for each in recent)
        attempts = len(expected) + failed_unseen
        assert found.count == len(expected)
        assert found.oldest_in_flight_s == max(ages, default=0.0)
        assert found.average_s == (sum(expected) / len(expected) if expected else None)
        assert (found.failed, found.refused) == (
            failed,
            sum(at > over for at in unseen) + sum(each.outcome == "refused" for each in recent),
        )
        assert found.failed_share == (failed / attempts if attempts else None)
        slow = bool(expected) and sum(expected) / len(expected) > 1.0
        failing = bool(attempts) and failed / attempts > 0.05
        assert found.reasons == ["slow"] * slow + ["failing"] * failing
        red = "red" if slow or failing else "green"
        assert found.state == (red if attempts else "no_data")


def measured(
    times: ResponseTimes, clock: Clock, seconds: float, outcome: Outcome = "answered"
) -> None:
    request = object()
    times.begin(request, clock.now)
    clock.now += seconds
    times.end(request, outcome)


def test_red_is_above_one_second_and_not_at_it() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    measured(times, clock, 1.0)
    assert times.read().state == "green"
    measured(times, clock, 1.125)
    assert times.read().state == "red"


def test_it_turns_green_again_when_the_slow_ones_have_left_the_window() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    measured(times, clock, 8.0)
    clock.now += 20
    measured(times, clock, 0.125)
    assert times.read().state == "red"
    clock.now += 10  # the slow one ended exactly one window ago
    assert times.read().state == "green"


def test_a_request_that_hangs_turns_it_red_before_it_is_answered() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    times.begin("hung", clock.now)
    clock.now += 1.125
    found = times.read()
    assert (found.state, found.oldest_in_flight_s) == ("red", 1.125)


def test_a_request_that_fails_counts_like_any_other() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    measured(times, clock, 2, "failed")
    found = times.read()
    assert (found.count, found.average_s, found.failed) == (1, 2, 1)


def test_a_quick_failure_is_red_and_is_forgotten_with_the_window() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    measured(times, clock, 0.125, "failed")
    for _ in range(18):
        measured(times, clock, 0.125)
    found = times.read()
    assert (found.state, found.reasons) == ("red", ["failing"])  # 1 of 19
    measured(times, clock, 0.125)
    assert times.read().state == "green"  # 1 of 20 is not above 5 %
    clock.now += WINDOW_S
    found = times.read()
    assert (found.state, found.failed_share, found.failed) == ("no_data", None, 0)


async def test_health_warns_while_too_many_orders_fail_and_says_how_many() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    assert (await times.failing()).status == "pass"
    measured(times, clock, 0.125, "failed")
    for _ in range(3):
        measured(times, clock, 0.125)
    assert await times.failing() == CheckResult(
        "warn", "1 of 4 orders failed in 30 s", 25.0, "% failed"
    )
    clock.now += WINDOW_S
    assert await times.failing() == CheckResult("pass", "", 0.0, "% failed")


def test_only_refusals_are_no_data() -> None:
    times = ResponseTimes(Clock(1000.0))
    times.end("unseen", "refused")
    found = times.read()
    assert (found.state, found.count, found.refused) == ("no_data", 0, 1)


def test_percentiles_are_of_the_orders_that_were_tried() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    for _ in range(10):
        measured(times, clock, 2.0)
    for _ in range(990):
        times.end(object(), "refused")
        times.end(object(), "failed")
    assert times.percentiles() == Latency(p50_s=2.0, p95_s=2.0, p99_s=2.0)


def test_what_nobody_looks_at_does_not_pile_up() -> None:
    clock = Clock(1000.0)
    times = ResponseTimes(clock)
    for _ in range(10_000):
        measured(times, clock, 0.5)
        times.end(object(), "refused")
    assert len(times._ended) <= 2 * WINDOW_S + 1
    assert len(times._refused) <= 2 * WINDOW_S + 1
