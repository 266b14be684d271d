"""Invariants of backups (I18, I18a, I18b, I18c, I19), judged by files, counts and a restore."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from chaos.checker import orders, responses, stock
from chaos.checker.backup_findings import BackupFindings, BackupFound
from chaos.checker.check_result import Check, check, require_nonempty
from chaos.checker.observations import Observations

ARCHIVED_WITHIN_S = 60.0
# Its claim may have been its last deed: then nothing was sent, and the next date has everything.
# Copies are made while the call is.
MAY_MISS_THEIR_CALL = frozenset({"killed claimed", "killed copying"})
# What a restored system has to keep, of what can be said without its Temporal.
_OF_THE_RESTORED: Sequence[Callable[[Observations], Check]] = (
    stock.conservation,
    stock.one_effect,
    stock.effect_as_ordered,
    stock.release_undoes_own_hold,
    stock.no_oversell,
    stock.no_effect_without_request,
    orders.one_key_one_order,
    responses.acknowledged_is_durable,
)


def brings_all_back(findings: BackupFindings, observations: Observations) -> Check:
    """I18: a copy alone brings every acknowledged order back, and what it brings back is right."""
    promise = "A copy of the last backup brings every acknowledged order back, as it was"
    restored = findings.restored
    if restored is None:
        return check("I18", promise, 0, [f"nothing was restored: {findings.not_restored}"])
    # Temporal is in no backup: what it knows is what the live one knows.
    restored = replace(restored, workflows=observations.workflows, forgotten=observations.forgotten)
    checks = [require_nonempty(each(restored)) for each in _OF_THE_RESTORED]
    wrong = [f"restored, {each.name}: {one}" for each in checks for one in each.violations]
    for order in observations.planned:
        row, back = (each.by_id.get(order.order_id) for each in (observations, restored))
        if row is None:
            continue
        if back is None or (back.status, back.lines) != (row.status, row.lines):
            was = "gone" if back is None else back.status
            wrong.append(f"order {row.order_id} is {row.status}, and {was} when restored")
    return check("I18", promise, sum(each.checked for each in checks), wrong)


def every_backup_ends(findings: BackupFindings) -> Check:
    """I18a: whatever hit it, a backup ends with a proven capsule that is in every store."""

    def wrong() -> Iterator[str]:
        for backup in findings.backups:
            if backup.report is None:
                yield f"{_named(backup)} is {backup.state}"
                continue
            if not backup.proven:
                yield f"{_named(backup)}: no proof of its capsule"
            if missing := {*findings.stores} - {*backup.report.copies}:
                yield f"{_named(backup)}: no copy in {', '.join(sorted(missing))}"
            if not findings.calls.get(backup.day) and backup.meets not in MAY_MISS_THEIR_CALL:
                yield f"{_named(backup)}: the legacy service was not called"
        yield from findings.broken

    return check(
        "I18a",
        "Every backup ends: proven, in every store, and with its date's legacy call",
        len(findings.backups),
        wrong(),
    )


def nothing_half_made(findings: BackupFindings) -> Check:
    """I18b: nothing half-made stays for good, and the archive follows the log."""

    def wrong() -> Iterator[str]:
        for name in findings.half_made:
            yield f"{name} is still there after a further backup"
        after_s = findings.archived_after_s
        if after_s is None or after_s > ARCHIVED_WITHIN_S:
            yield f"a file of the log was not archived within {ARCHIVED_WITHIN_S:g} s"

    return check(
        "I18b",
        "Nothing half-made stays where backups are, and the archive follows the log",
        len(findings.backups),
        wrong(),
    )


def damage_is_found(findings: BackupFindings) -> Check:
    """I18c: who fetches a copy with a flipped bit is told so, and gets nothing of it."""
    return check(
        "I18c",
        "A flipped bit in a copy is found before anything of it is used",
        len(findings.flipped),
        (f"{copy.name} was taken for whole" for copy in findings.flipped if not copy.found),
    )


def one_legacy_call(findings: BackupFindings) -> Check:
    """I19: at most one legacy call for each date, by the service's own count; none is made up."""

    def wrong() -> Iterator[str]:
        for day, calls in sorted(findings.calls.items()):
            if calls > 1:
                yield f"{calls} legacy calls on {day}"
        for backup in findings.backups:
            call = None if backup.report is None else backup.report.call
            if call is not None and call.state == "done" and not findings.calls.get(backup.day):
                yield f"{_named(backup)}: said to be called, and the service has counted nothing"

    return check("I19", "At most one legacy call for each UTC date", len(findings.calls), wrong())


def backup_checks(findings: BackupFindings, observations: Observations) -> list[Check]:
    """Return every check about backups."""
    checks = (
        brings_all_back(findings, observations),
        every_backup_ends(findings),
        nothing_half_made(findings),
        damage_is_found(findings),
        one_legacy_call(findings),
    )
    return [require_nonempty(each) for each in checks]


def _named(backup: BackupFound) -> str:
    return f"the backup of {backup.day} ({backup.meets})"
