"""What a restore says at its end: what is back, up to when, what was lost, what to do next."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup.restore.moment import in_words
from backup.restore.restore import Restored
from backup.restore.sources import Offer
from deploy.local.settings import backup_home_from, home_from
from deploy.terminal import err, out, print_unwrapped

# Those that a person thinks in; the other tables are summed up.
_NAMED = {"orders": ("orders", "order_events"), "inventory": ("reservations", "movements")}


def show_offer(offer: Offer, at: datetime | None, home: Path) -> None:
    """Print what a restore would do."""
    for note in offer.notes:
        err.print(f"  {note}", style="yellow", markup=False, soft_wrap=True)
    out.print("Everything that is needed was read, and is right.", style="bold green")
    print_unwrapped(f"  {offer.in_words()}.")
    print_unwrapped(f"  It would bring back to {home} all up to {in_words(offer.up_to)}.")
    _show_loss(offer, at)
    print_unwrapped("Nothing was changed. Without --dry-run it is done.")


def show_restored(restored: Restored, at: datetime | None, home: Path, trail: Path) -> None:
    """Print what is back."""
    offer = restored.offer
    out.print(
        f"Back in {restored.seconds:.1f} s: everything committed up to {in_words(offer.up_to)}.",
        style="bold green",
        soft_wrap=True,
    )
    print_unwrapped(f"  From {offer.what}.")
    for database, tables in restored.rows.items():
        print_unwrapped(f"  {database}: {_counted(database, tables)}")
    for note in offer.notes:
        err.print(f"  {note}", style="yellow", markup=False, soft_wrap=True)
    for difference in restored.differences:
        err.print(f"  missing: {difference}", style="bold red", markup=False, soft_wrap=True)
    _show_loss(offer, at)
    print_unwrapped(
        f"The legacy call of {restored.call_spent_of} counts as made: it may have been, and be"
        " among what was lost. The next date's capsule has it all."
    )
    out.print("\nnext:", style="bold")
    print_unwrapped(f"  {_environment(home, trail)}make up")
    print_unwrapped("  Open orders are taken up again by themselves.")


def show_unreconciled(problem: Exception, home: Path, trail: Path) -> None:
    """Say that the databases are back, but may disagree about the last orders."""
    first = (str(problem) or repr(problem)).splitlines()[0]
    err.print(f"They could not be reconciled: {first}", style="bold red", markup=False)
    err.print(f"kept: everything that was restored to {home}", markup=False, soft_wrap=True)
    err.print(
        f"next: {_environment(home, trail)}valerix reconcile, before make up",
        markup=False,
        soft_wrap=True,
    )


def _show_loss(offer: Offer, at: datetime | None) -> None:
    print_unwrapped(f"Lost: whatever was committed in the {_ago(offer.up_to)} since.")
    if at is not None and offer.latest - offer.up_to > timedelta(seconds=1):
        print_unwrapped(
            f"  Not for good: {offer.what} reaches to {in_words(offer.latest)}, for a restore to"
            " another folder."
        )


def _ago(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _counted(database: str, tables: Mapping[str, int]) -> str:
    named = [name for name in _NAMED.get(database, ()) if name in tables]
    parts = [f"{tables[name]:,} {name.replace('_', ' ')}" for name in named]
    rest = sum(rows for name, rows in tables.items() if name not in named)
    return ", ".join([*parts, f"{rest:,} rows of other tables" if parts else f"{rest:,} rows"])


def _environment(home: Path, trail: Path) -> str:
    """Return what has to stand before `make up` for another home than the usual one."""
    if home == home_from(os.environ):
        return ""
    told = f"VALERIX_HOME={home} "
    usual = backup_home_from({**os.environ, "VALERIX_HOME": str(home)})
    return told if trail == usual else f"{told}VALERIX_BACKUP_HOME={trail} "
