"""Schedule: when each event happens, a pure function of scenario, seed and load."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.scenarios.scenario import Event

# What a part takes to be well again, beyond the time that its fault lasts.
RECOVERY_S = 2.0
# Who is asked to stop may first end what is under way.
_LONGER_S = {"roll": 10.0, "turn": 4.0, "release": 5.0, "backup": 10.0}


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """One planned event: `at_s` after the start of the attack, for the `nth` time."""

    at_s: float
    event: Event
    nth: int


def schedule_of(
    events: Sequence[Event], seed: int, duration_s: float
) -> tuple[ScheduledEvent, ...]:
    """Return when each event happens: spread over the attack, in an order of the seed's.

    Each happens as often as it wants to, or as often as there is time for all of them in turn
    while orders come in, and at least once.
    """
    dice = random.Random(f"events/{seed}")
    room_s = duration_s * 0.92
    fit = int(room_s / max(sum(span_s(event) for event in events), 1e-6))
    rounds = min(max((event.times for event in events), default=0), max(fit, 1))
    # Whose turn comes first is the seed's, too: a short run is not always the same one.
    first = dice.randrange(1_000)
    turns: list[tuple[Event, int]] = []
    for nth in range(rounds):
        of_round = [(event, first + nth) for event in events if nth < event.times]
        dice.shuffle(of_round)
        turns += of_round
    stretch = room_s / max(sum(span_s(event) for event, _ in turns), 1e-6)
    at_s = duration_s * 0.02
    planned = []
    for event, nth in turns:
        slack_s = max(stretch - 1.0, 0.0) * span_s(event)
        planned.append(ScheduledEvent(round(at_s + dice.uniform(0, slack_s / 2), 3), event, nth))
        at_s += stretch * span_s(event)
    return tuple(planned)


def as_text(schedule: Sequence[ScheduledEvent]) -> str:
    """Return the plan of events in its one form."""
    return "".join(
        json.dumps({"event": m.event.name, "nth": m.nth, "at_s": m.at_s}) + "\n" for m in schedule
    )


def span_s(event: Event) -> float:
    """Return how long an event and the recovery from it take, by experience (s)."""
    return event.seconds + _LONGER_S.get(event.kind, 0.0) + RECOVERY_S
