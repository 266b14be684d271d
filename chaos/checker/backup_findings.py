"""What is left of a run's backups once all is at rest: read from files, Temporal and a restore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from backup.daily.contracts import BackupReport
from chaos.checker.observations import Observations
from chaos.nemesis.backup_faults import FlippedCopy


@dataclass(frozen=True, slots=True)
class BackupFound:
    """How a backup ended, by Temporal; `report` is what it says of itself, None if it has none.

    `proven` tells whether a restore has brought back all of its capsule, by the proof on disk.
    """

    day: date
    meets: str
    state: str
    report: BackupReport | None
    proven: bool


@dataclass
class BackupFindings:
    """Everything that the checks of backups need.

    `calls` is the stand-in's own count for each date. `restored` is what a store's newest copy
    brings back; why it does not is in `not_restored`. `archived_after_s` is how long a file of the
    log took to its archive, None if it did not come.
    """

    backups: Sequence[BackupFound] = ()
    stores: Sequence[str] = ()
    calls: Mapping[date, int] = field(default_factory=dict)
    flipped: Sequence[FlippedCopy] = ()
    half_made: Sequence[str] = ()
    archived_after_s: float | None = None
    restored: Observations | None = None
    not_restored: str = "nothing was read"
    broken: Sequence[str] = ()
