"""What the machine keeps from those who serve a page is not the page's own time."""

import pytest

from bench.sections.pages import MachineStalls


def test_what_each_process_lost_is_taken_from_a_span_and_our_own_loss_once() -> None:
    stalls = MachineStalls([1, 2])
    ui, service = stalls._watches
    # this process is seen by both watches, and was late once
    for watch in (ui, service):
        watch.seen.append(("client", 100.0, 102.0, 0.5))
    ui.seen.append(("server", 102.0, 103.0, 0.25))
    service.seen.append(("server", 100.0, 104.0, 1.0))
    assert stalls.longest([(100.0, 104.0)]) == pytest.approx(4 - 0.5 - 0.25 - 1.0, abs=0.05)
    assert stalls.longest([(200.0, 203.0), (100.0, 104.0)]) == 3.0
    assert stalls.longest([]) == float("inf")
