"""Invariant of subscribers (I16): each event reaches the notifications once."""

from collections.abc import Iterator

from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations

TOLD_SHOPPERS = ("received", "waiting", "shipped", "rejected", "cancelled", "failed")


def subscribers_once(observations: Observations) -> Check:
    """I16: the notifications subscriber has taken each event that concerns it once."""
    due = {event.seq for event in observations.events if event.type in TOLD_SHOPPERS}

    def wrong() -> Iterator[str]:
        for seq in sorted(due - observations.notifications.keys()):
            yield f"event {seq} was never turned into a message"
        for seq, times in observations.notifications.items():
            if times > 1 or seq not in due:
                yield f"event {seq} has {times} messages"

    return check("I16", "Subscribers take each event once", len(due), wrong())
