"""Disturbances: the times at which a process was gone, or the machine let nobody run."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from chaos.checker.observations import Observations
from chaos.scenarios.records import RECONNECTED_S, Disturbance

# A process that was killed has gone by then, and whoever kept it running has written that down.
NOTICED_S = 0.5
LONG_STALL_S = 0.2
_LIFE = re.compile(r"^(\S+Z) (exited|ready) (\S+) pid=")
_HELD_BACK = re.compile(r'"order_id":\s*"([0-9a-f-]{36})"')
_RULE = re.compile(r'"rule":\s*"([^"]+)"')


def disturbances_of(
    events: Sequence[Disturbance], observations: Observations, logs: Path, since: float
) -> list[Disturbance]:
    """Return the times at which some process was gone, also those killed by a fault point.

    `logs` is the folder of the stack's logs; what they say of the time before `since` is left out.
    """
    return [
        *events,
        *(
            Disturbance(fired.at, fired.at + NOTICED_S, f"{fired.rule} killed a process")
            for fired in observations.fired
            if fired.fault == "crash"
        ),
        *(gone for gone in absences(logs / "supervisor.log") if gone.end >= since),
    ]


def absences(log: Path) -> Iterator[Disturbance]:
    """Yield each process's times between an end and the next readiness, from the supervisor's log.

    How long a start takes is the machine's business: a slow one takes several times as long.
    """
    away: dict[str, float] = {}
    with log.open(errors="replace") as lines:
        for line in lines:
            if life := _LIFE.match(line):
                at, what, name = datetime.fromisoformat(life[1]).timestamp(), life[2], life[3]
                if what == "exited":
                    away.setdefault(name, at)
                elif name in away:
                    yield Disturbance(away.pop(name), at + RECONNECTED_S, f"{name} was away")


def stood_still(observations: Observations) -> list[Disturbance]:
    """Return the times at which the machine let nobody run for longer than a step may take."""
    return [
        Disturbance(begin, end, f"nothing ran for {lost:.1f} s")
        for source, begin, end, lost in observations.stalls
        if source != "line" and lost >= LONG_STALL_S
    ]


def held_back(logs: Path) -> frozenset[tuple[str, UUID]]:
    """Return the (rule, order) for which an injector logged that it could not write evidence."""
    found = set()
    for log in logs.glob("*.log"):
        with log.open(errors="replace") as lines:
            for line in lines:
                if "no evidence, no fault" in line:
                    order, rule = _HELD_BACK.search(line), _RULE.search(line)
                    if order and rule:
                        found.add((rule.group(1), UUID(order.group(1))))
    return frozenset(found)
