"""What of a scenario cannot be done where the run is made, and why: counted as skipped."""

from collections.abc import Mapping

from chaos.nemesis import full_disk, network_namespace
from chaos.scenarios.scenario import Event, Scenario

_NOT_OURS = "what runs for others is not stopped, cut off or started anew"
_NO_WIRE = "there is no wire of ours between its worker and its warehouse"
# What a running stack survives without anybody's help, and what can be undone from outside.
_TO_OTHERS = ("kill", "freeze", "lock", "poison", "fill")


def skipped_faults(scenario: Scenario, *, against: bool) -> Mapping[str, str]:
    """Return the names of the scenario's faults that are left out, with the reason.

    `against`: the run attacks a stack that somebody else has started.
    """
    found: dict[str, str] = {}
    for attack in scenario.attacks:
        if against and attack.rule.point == "wire.inventory":
            found[attack.rule.name] = _NO_WIRE
    for event in scenario.events:
        if reason := _why_not(event, against=against):
            found[event.name] = reason
    return found


def _why_not(event: Event, *, against: bool) -> str | None:
    if against and event.kind not in _TO_OTHERS:
        return _NOT_OURS
    if event.kind == "part":
        return network_namespace.why_not()
    if event.kind == "fill":
        return full_disk.why_not()
    return None
