"""The rolling average against the plainest way of computing it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from order_api.response_time import ResponseTimes

WINDOW_S = 30.0


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Request:
    """One measured request, kept for brute force."""

    def __init__(self, times: ResponseTimes, clock: Clock) -> None:
        self.measuring = times.measure()
        self.measuring.__enter__()
        self.began = clock.now
        self.ended: float | None = None


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "end", "wait"]),
        # multiples of a power of two: sums are exact, so equality may be asked for
        st.integers(0, 8 * 40).map(lambda n: n / 8),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_average_is_that_of_brute_force(drawn: list[tuple[str, float]]) -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    requests: list[Request] = []
    for step, amount in drawn:
        running = [request for request in requests if request.ended is None]
        if step == "begin":
            requests.append(Request(times, clock))
        elif step == "end" and running:
            ending = running[int(amount) % len(running)]
            ending.measuring.__exit__(None, None, None)
            ending.ended = clock.now
        else:
            clock.now += amount
        found = times.read()
        ages = [clock.now - request.began for request in requests if request.ended is None]
        took = [
            request.ended - request.began
            for request in requests
            if request.ended is not None and request.ended > clock.now - WINDOW_S
        ]
        expected = ages + took
        assert found.count == len(expected)
        assert found.oldest_in_flight_s == max(ages, default=0.0)
        if not expected:
            assert (found.average_s, found.state) == (None, "no_data")
        else:
            assert found.average_s == sum(expected) / len(expected)
            assert found.state == ("red" if sum(expected) / len(expected) > 1.0 else "green")


def measured(times: ResponseTimes, clock: Clock, seconds: float) -> None:
    with times.measure():
        clock.now += seconds


def test_red_is_above_one_second_and_not_at_it() -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    measured(times, clock, 1.0)
    assert times.read().state == "green"
    measured(times, clock, 1.125)
    assert times.read().state == "red"


def test_it_turns_green_again_when_the_slow_ones_have_left_the_window() -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    measured(times, clock, 8.0)
    clock.now += 20
    measured(times, clock, 0.125)
    assert times.read().state == "red"
    clock.now += 10  # the slow one ended exactly one window ago
    assert times.read().state == "green"


def test_a_request_that_hangs_turns_it_red_before_it_is_answered() -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    with times.measure():
        clock.now += 1.125
        found = times.read()
    assert (found.state, found.oldest_in_flight_s) == ("red", 1.125)


def test_a_request_that_fails_counts_like_any_other() -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    try:
        with times.measure():
            clock.now += 2
            raise ValueError
    except ValueError:
        pass
    assert (times.read().count, times.read().average_s) == (1, 2)


def test_what_nobody_looks_at_does_not_pile_up() -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    for _ in range(10_000):
        measured(times, clock, 0.5)
    assert len(times._finished) <= 2 * WINDOW_S + 1
