"""The window on the traces that the Prometheus rule is tried on, too."""

import pytest

from tests.response_time_vectors import VECTORS, average_at, played


@pytest.mark.parametrize("name", VECTORS)
def test_the_window_is_right_at_every_second_of(name: str) -> None:
    for second, times in played(VECTORS[name]):
        expected = average_at(VECTORS[name], second)
        found = times.read()
        assert found.average_s == expected, second
        state = "no_data" if expected is None else "red" if expected > 1 else "green"
        assert found.state == state, second


def test_the_vectors_turn_the_alert_on_and_off() -> None:
    states = {times.read().state for trace in VECTORS.values() for _, times in played(trace)}
    assert states == {"no_data", "green", "red"}
