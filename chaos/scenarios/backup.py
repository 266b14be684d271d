"""Scenario of backups: a week of dates and more in a few minutes, each with a fault of its own.

Each event is the backup of a further date, which the legacy service takes for today: its clock is
put forward. So each fault meets a date that has its one call still to be made.
"""

from typing import Literal, get_args

from chaos.scenarios.scenario import Event, Scenario

# Seen from outside: a half-made file of that step is there, or what the step leaves behind.
KillMoment = Literal["base", "sealing", "proving", "copying", "claimed", "calling", "answered"]
# As `legacy_service` knows them.
LegacyFault = Literal["error", "silence", "cut", "cut_early", "trickle", "lost", "truncated"]


def _backup(name: str, row: str, meets: str) -> Event:
    return Event(f"backup-{name}", row, "backup", meets, times=1)


BACKUP = Scenario(
    "backup",
    "Backups of one date after another: killed, raced, cut off, on full disks, with flipped bits.",
    events=(
        *(_backup(f"killed-{at}", "backup-killed", f"killed {at}") for at in get_args(KillMoment)),
        *(
            _backup(f"legacy-{what.replace('_', '-')}", "legacy-misbehaves", f"legacy {what}")
            for what in get_args(LegacyFault)
        ),
        _backup("raced", "backup-raced", "raced"),
        _backup("disk-full", "disk-full", "disk full"),
        _backup("store-away", "store-away", "store away"),
        _backup("copy-flipped", "copy-flipped", "copy flipped"),
        _backup("clock-back", "clock", "clock back"),
        # Between two of them: what Postgres was about to archive is archived by its next life.
        Event("postgres-restarted", "database-restarted", "kill", "postgres", times=1),
        Event("temporal-killed", "engine-killed", "kill", "temporal", times=1),
    ),
    ends_with_blackout=True,
    orders=4_000,
)

# For runs of other scenarios: a death at the worst moment, an answer that lies, a copy that does.
OF_BACKUPS = tuple(
    event
    for event in BACKUP.events
    if event.name in ("backup-killed-calling", "backup-legacy-error", "backup-copy-flipped")
)
