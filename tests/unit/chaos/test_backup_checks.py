"""The checks of backups on made-up findings: content with good ones, and each names what is bad."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from backup.daily import workflow as released_code
from backup.daily.contracts import BackupReport, CallOutcome
from chaos.checker.backup_findings import BackupFindings, BackupFound
from chaos.checker.backups import backup_checks
from chaos.checker.check_result import all_hold
from chaos.checker.observations import Observations
from chaos.nemesis.backup_faults import FlippedCopy
from chaos.nemesis.impatient_backups import PATIENCE
from chaos.run_config import RunConfig
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.workload import Crowd, plan
from tests.support.settled_facts import settled_facts

ORDERS = plan(3, 40, 10.0, Crowd())
FIRST = ORDERS[0].order_id
DAY = date(2028, 2, 29)
STORES = ("copies", "far")
CLAIM = "00000000-0000-4000-8000-000000000000"


def found(day: date, meets: str) -> BackupFound:
    call = CallOutcome.model_validate({"day": day, "claim_id": CLAIM, "state": "done"})
    report = BackupReport(
        day=day,
        capsule_sha256="a" * 64,
        copies=STORES,
        late_copies=(),
        call=call,
        ended_at=datetime(2028, 3, 1, tzinfo=UTC),
    )
    return BackupFound(day, meets, "COMPLETED", report, proven=True)


def findings() -> BackupFindings:
    days = [DAY, DAY + timedelta(days=1)]
    return BackupFindings(
        backups=[found(day, "nothing") for day in days],
        stores=STORES,
        calls=dict.fromkeys(days, 1),
        flipped=[FlippedCopy("a.capsule", found=True)],
        archived_after_s=0.5,
        restored=settled_facts(ORDERS),
    )


def broken(found: BackupFindings, live: Observations | None = None) -> set[str]:
    checks = backup_checks(found, live or settled_facts(ORDERS))
    return {check.name for check in checks if not check.holds}


def test_good_findings_break_nothing_and_every_check_has_looked_at_something() -> None:
    checks = backup_checks(findings(), settled_facts(ORDERS))
    assert all_hold(checks)
    assert all(check.checked > 0 for check in checks)


def test_where_nothing_was_read_nothing_is_proven() -> None:
    names = {check.name for check in backup_checks(BackupFindings(), settled_facts(ORDERS))}
    assert broken(BackupFindings()) == names


def _with_report(found: BackupFindings, **changes: object) -> None:
    first, *others = found.backups
    assert first.report is not None
    report = first.report.model_copy(update=changes)
    found.backups = [replace(first, report=report), *others]


def _call_twice(found: BackupFindings) -> None:
    found.calls = {**found.calls, DAY: 2}


def _call_on_a_date_that_nobody_asked_for_twice(found: BackupFindings) -> None:
    found.calls = {**found.calls, DAY - timedelta(days=9): 2}


def _make_up_a_call(found: BackupFindings) -> None:
    found.backups = [replace(backup, meets="killed claimed") for backup in found.backups]
    found.calls = {DAY: 1}


def _do_not_call(found: BackupFindings) -> None:
    _with_report(found, call=None)
    found.calls = {DAY + timedelta(days=1): 1}


def _do_not_end(found: BackupFindings) -> None:
    found.backups = [replace(found.backups[0], state="RUNNING", report=None), *found.backups[1:]]


def _do_not_prove(found: BackupFindings) -> None:
    found.backups = [replace(found.backups[0], proven=False), *found.backups[1:]]


def _leave_out_a_store(found: BackupFindings) -> None:
    _with_report(found, copies=("copies",))


def _spend_a_call_on_a_full_disk(found: BackupFindings) -> None:
    found.broken = ["a call was made while the disk was full"]


def _leave_half_a_file(found: BackupFindings) -> None:
    found.half_made = ["trail/capsules/.2028-02-29.capsule.0a1b2c3d.partial"]


def _do_not_archive(found: BackupFindings) -> None:
    found.archived_after_s = None


def _archive_late(found: BackupFindings) -> None:
    found.archived_after_s = 61.0


def _take_a_damaged_copy(found: BackupFindings) -> None:
    found.flipped = [FlippedCopy("a.capsule", found=False)]


def _lose_an_order(found: BackupFindings) -> None:
    found.restored = settled_facts(ORDERS[1:])


def _take_an_order_back(found: BackupFindings) -> None:
    assert found.restored is not None
    first, *others = found.restored.orders
    found.restored.orders = [replace(first, status="cancelled"), *others]


def _lose_stock(found: BackupFindings) -> None:
    assert found.restored is not None
    shelf = found.restored.shelves[0]
    found.restored.shelves[0] = replace(shelf, on_hand=shelf.on_hand - 1)


def _restore_nothing(found: BackupFindings) -> None:
    found.restored, found.not_restored = None, "CapsuleDamaged"


@pytest.mark.parametrize(
    ("break_", "name"),
    [
        (_call_twice, "I19"),
        (_call_on_a_date_that_nobody_asked_for_twice, "I19"),
        (_make_up_a_call, "I19"),
        (_do_not_call, "I18a"),
        (_do_not_end, "I18a"),
        (_do_not_prove, "I18a"),
        (_leave_out_a_store, "I18a"),
        (_spend_a_call_on_a_full_disk, "I18a"),
        (_leave_half_a_file, "I18b"),
        (_do_not_archive, "I18b"),
        (_archive_late, "I18b"),
        (_take_a_damaged_copy, "I18c"),
        (_lose_an_order, "I18"),
        (_take_an_order_back, "I18"),
        (_lose_stock, "I18"),
        (_restore_nothing, "I18"),
    ],
)
def test_each_promise_is_missed_by_its_name(
    break_: Callable[[BackupFindings], None], name: str
) -> None:
    bad = findings()
    break_(bad)
    assert broken(bad) == {name}


def test_a_death_at_the_claim_may_cost_its_date_the_call() -> None:
    spared = findings()
    _do_not_call(spared)
    spared.backups = [replace(spared.backups[0], meets="killed claimed"), *spared.backups[1:]]
    assert broken(spared) == set()


def test_a_stack_that_runs_is_not_asked_for_backups(tmp_path: Path) -> None:
    there = RunConfig(SCENARIOS["backup"], 1, 10, 10.0, tmp_path, against="http://127.0.0.1:8101")
    backups = {event.name for event in SCENARIOS["backup"].events if event.kind == "backup"}
    assert there.skipped_faults.keys() >= backups


def test_impatience_has_the_names_of_the_released_code() -> None:
    patience = {name: type(value) for name, value in PATIENCE.items()}
    assert patience == {name: type(vars(released_code)[name]) for name in PATIENCE}
