"""Skipped faults: what of a scenario cannot be done to a target, and why."""

from collections.abc import Collection, Mapping

from chaos.nemesis import full_disk, network_namespace
from chaos.scenarios.network_faults import Link
from chaos.scenarios.scenario import Event, EventKind, Scenario

_NOT_OURS = "what runs for others is not stopped, cut off or started anew"
_NO_PROXY = "there is no proxy of ours between its worker and its warehouse"


def skipped_faults(
    scenario: Scenario, events: Collection[EventKind], proxied: Collection[Link]
) -> Mapping[str, str]:
    """Return the names of the scenario's faults that are skipped, with the reason.

    `events` are the kinds that are possible with the target, `proxied` its links with a proxy.
    """
    found: dict[str, str] = {}
    for attack in scenario.attacks:
        point = attack.rule.point
        if point.startswith("wire.") and point not in proxied:
            found[attack.rule.name] = _NO_PROXY
    for event in scenario.events:
        if reason := _why_not(event, events):
            found[event.name] = reason
    return found


def _why_not(event: Event, events: Collection[EventKind]) -> str | None:
    if event.kind not in events:
        return _NOT_OURS
    if event.kind == "partition":
        return network_namespace.why_not()
    if event.kind == "fill" or event.target == "disk full":
        return full_disk.why_not()
    return None
