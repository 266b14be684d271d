"""Section `restore`: what a backup of a million orders costs, and how soon it is back elsewhere."""

import shutil
import time
from pathlib import Path

from backup.capsule.manifest import SealedCapsule, label_name
from backup.durable import made_folder
from backup.reconcile.contracts import ReconcileReport
from backup.restore.restore import Restored
from backup.trail_folder import TrailFolder
from bench.harness.backups import Kept, backed_up, since_first_base
from bench.harness.processes import OWN
from bench.harness.results import Row, at_most
from bench.harness.stack import CpuUsage, Plan, cpu_usage_of, temporary_home
from bench.sections.long_log import long_log
from deploy.cli.reconcile import reconcile_stopped
from deploy.cli.restore import RestorePlace, restore_to
from deploy.local.services import BACKUP, LEGACY
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL

ORDERS = 1_000_000
BAR_S = 300.0
# Nobody shops meanwhile: what a backup costs is seen best alone.
_ONLY = frozenset({POSTGRES, TEMPORAL, BACKUP, LEGACY})
_PER = 100_000


def per_hundred_thousand(value: float, orders: int) -> float:
    """Return the share of a figure that a hundred thousand of the orders have in it."""
    return value * _PER / orders


async def restore(plan: Plan) -> list[Row]:
    """Back up once, keep nothing but the capsule and the key, and bring it back on a new host.

    Then the same of next to nothing, with a long log.
    """
    orders = ORDERS // 10 if plan.quick else ORDERS
    with temporary_home() as home:
        async with backed_up(plan, home, orders, _ONLY) as shop:
            async with shop.cpu_usage() as used:
                took_s = await shop.back_up()
            kept = await shop.kept()
        rows = [*_sizes(kept, orders), *_effort(took_s, used, orders)]
        capsule, place = _new_host(home, shop.trail, kept.capsule)
        async with cpu_usage_of({}, plan) as used:
            restored_s, back_s, not_right = await _bring_back(place, capsule, plan, orders)
    rows += _back(restored_s, back_s, used, orders, not_right)
    return plan.report([*rows, *await long_log(plan)])


async def _bring_back(
    place: RestorePlace, capsule: Path, plan: Plan, orders: int
) -> tuple[float, float, str]:
    """Return after how many seconds all was restored, and reconciled, and what is not right."""
    began = time.perf_counter()
    restored = await restore_to(place, str(capsule), None)
    restored_s = time.perf_counter() - began
    plan.say("reconciling")
    report = await reconcile_stopped(
        StackSettings(home=place.home, backup_home=place.trail.folder, ports=Ports.free()),
        dry_run=False,
        orders_may_be_empty=False,
        progress=plan.say,
    )
    return restored_s, time.perf_counter() - began, wrong(restored, report, orders)


def wrong(restored: Restored, report: ReconcileReport, orders: int) -> str:
    """Return what is not as it was; nobody was at work on anything, so all of it has to be."""
    found = [*restored.differences, *report.violations]
    if report.orders != orders:
        found.append(f"{report.orders:,} orders of {orders:,}")
    if report.for_people_count:
        found.append(f"{report.for_people_count:,} for a person to decide")
    found += [f"{count:,} repaired: {rule}" for rule, count in report.repaired.items()]
    return "; ".join(found)


def _new_host(home: Path, trail: TrailFolder, capsule: SealedCapsule) -> tuple[Path, RestorePlace]:
    """Delete everything but a capsule and the key to it; return it, and where it is to go."""
    carried, fresh = home.with_name("carried"), TrailFolder(home.with_name("new-backups"))
    carried.mkdir()
    for name in (capsule.name, label_name(capsule.name)):
        shutil.move(capsule.path.with_name(name), carried / name)
    made_folder(fresh.folder)
    shutil.move(trail.keys, fresh.keys)
    shutil.rmtree(home)
    shutil.rmtree(trail.folder)
    return carried / capsule.name, RestorePlace(home.with_name("new"), fresh, fresh)


def _sizes(kept: Kept, orders: int) -> list[Row]:
    def size(what: str, size_bytes: int, in_it: int, note: str) -> Row:
        share = per_hundred_thousand(size_bytes / 1e6, in_it)
        note = f"{share:.0f} MB for 100,000 orders; {note}"
        return Row("restore", what, size_bytes / 1e6, "MB", note=note)

    first, last, new = kept.bases[0], kept.bases[-1], since_first_base(orders)
    return [
        size("the cluster", kept.cluster_bytes, orders, "all databases, indexes included"),
        size("base backup, the first", first.size_bytes, orders - new, first.kind),
        size("base backup of the day", last.size_bytes, new, f"{last.kind}, {new:,} orders later"),
        size("archived log", kept.log_bytes, new, f"{kept.log_files} files since the first base"),
        size("capsule", kept.capsule.size_bytes, orders, "the first base and the log since"),
    ]


def _effort(took_s: float, used: CpuUsage, orders: int) -> list[Row]:
    def cpu(what: str, name: str) -> Row:
        seconds = used.cpu_s[name]
        note = f"{per_hundred_thousand(seconds, orders):.1f} s for 100,000 orders"
        return Row("restore", what, seconds, "CPU s", note=note)

    return [
        Row(
            "restore",
            "backup now",
            took_s,
            "s",
            note=f"base, sealed, proven, copied, called; {used.foreign:.0%} used by others",
        ),
        cpu("backup now: its process and programs", BACKUP),
        cpu("backup now: the database meanwhile", POSTGRES),
    ]


def _back(
    restored_s: float, back_s: float, used: CpuUsage, orders: int, not_right: str
) -> list[Row]:
    bar = at_most(BAR_S, "s", back_s) if orders == ORDERS else {}
    if not_right:
        bar["met"] = False
    note = f"WRONG: {not_right}" if not_right else f"all {orders:,} orders, nothing to repair"
    others = f"{used.foreign:.0%} of the machine was used by others"
    return [
        Row("restore", "restore on an empty host", restored_s, "s"),
        Row("restore", "reconcile", back_s - restored_s, "s"),
        Row("restore", "restore and reconcile", back_s, "s", **bar, note=note),
        Row("restore", "restore and reconcile", used.cpu_s[OWN], "CPU s", note=others),
    ]
