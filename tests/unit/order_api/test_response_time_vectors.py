"""The window on the traces that the Prometheus rule is tried on, too."""

import pytest

from tests.support.response_time_vectors import VECTORS, played, verdict_at


@pytest.mark.parametrize("name", VECTORS)
def test_the_window_is_right_at_every_second_of(name: str) -> None:
    for second, times in played(VECTORS[name]):
        expected = verdict_at(VECTORS[name], second)
        found = times.read()
        assert found.average_s == expected.average_s, second
        assert found.failed_share == expected.failed_share, second
        assert (found.state, found.reasons) == (expected.state, expected.reasons), second


def test_the_vectors_turn_the_alert_on_and_off() -> None:
    found = [times.read() for trace in VECTORS.values() for _, times in played(trace)]
    assert {each.state for each in found} == {"no_data", "green", "red"}
    reasons = {" and ".join(each.reasons) for each in found}
    assert reasons == {"", "slow", "failing", "slow and failing"}
