"""Command `valerix restore`: the databases as they were at a second, in a folder for `make up`."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from backup.durable import gone_unless_done, move_durably, partial_beside, sweep
from backup.errors import BackupProblem
from backup.restore.moment import parse_moment
from backup.restore.restore import Restored, restore
from backup.restore.server import PASSWORDS
from backup.restore.sources import Offer, Say
from backup.trail_folder import TrailFolder
from deploy.cli.restore_report import show_offer, show_restored, show_unreconciled
from deploy.cli.restore_source import RestoreSources
from deploy.local import preflight
from deploy.local.errors import StartRefused
from deploy.local.postgres.server import DATABASES
from deploy.local.recovery import LocalRecoveryServers
from deploy.local.settings import Ports, StackSettings, backup_home_from, home_from
from deploy.local.state_dir import StateDir, StateDirLock, write_private
from deploy.terminal import err, out
from service_kit.postgres.pool import POSTGRES_ERRORS

# For the recovery beside its log, and for each program of Postgres.
WITHIN_S = 3600.0
_NOTHING = "nothing was started or changed"
_PROBLEMS: tuple[type[Exception], ...] = (BackupProblem, *POSTGRES_ERRORS)
_UNRECONCILED: tuple[type[Exception], ...] = (StartRefused, *_PROBLEMS)
# Of a stack whose data was deleted: a restore does not mind these, and replaces the passwords.
_MAY_BE_THERE = {"secrets", "logs", "lock", "state.json", "ui", "cli-orders", "cli-unanswered"}
_DATA = "postgres"


def run(*, source: str, at: str | None, to: str | None, dry_run: bool) -> int:
    """Return 0 if all is back and the databases agree, 1 if somebody has to look at something."""
    place = RestorePlace.of(to)
    with _in_words(place):
        moment = parse_moment(at) if at else None
        place.refuse_used()
        if dry_run:
            show_offer(asyncio.run(_check(source, moment, place)), moment, place.home)
            return 0
        restored = asyncio.run(restore_to(place, source, moment))
    show_restored(restored, moment, place.home, place.trail.folder)
    agreed = _reconcile(place)
    return 0 if agreed and not restored.differences else 1


class RestorePlace:
    """The folder to restore to, the trail it is restored from, and the one it goes on in.

    A home of its own, beside the one of the settings, has backups of its own, too: the log of two
    living clusters in one archive could not be told apart.
    """

    def __init__(self, home: Path, source_trail: TrailFolder, trail: TrailFolder) -> None:
        self.home = home
        self.state_dir = StateDir(home)
        self.source_trail = source_trail
        self.trail = trail

    @classmethod
    def of(cls, to: str | None) -> "RestorePlace":
        """Return it for what was given as `--to`, None for the home of the settings."""
        usual = home_from(os.environ)
        home = Path(to).expanduser().absolute() if to else usual
        source_trail = TrailFolder(backup_home_from(os.environ))
        if home == usual:
            return cls(home, source_trail, source_trail)
        trail = TrailFolder(backup_home_from({**os.environ, "VALERIX_HOME": str(home)}))
        pid = StateDirLock(StateDir(usual)).holder()
        if pid is not None and trail.folder == source_trail.folder:
            raise StartRefused(
                problem=f"the stack in {usual} (pid {pid}) runs, and is backed up to"
                f" {trail.folder}, where the restored one would be, too",
                kept=_NOTHING,
                remedy="unset VALERIX_BACKUP_HOME for this, or stop that stack if it is replaced",
            )
        return cls(home, source_trail, trail)

    def refuse_used(self) -> None:
        """Refuse a folder that a stack runs in, or that has data, or things of somebody's own."""
        pid = StateDirLock(self.state_dir).holder()
        if pid is not None:
            raise StartRefused(
                problem=f"a stack is running in {self.home} (pid {pid})",
                kept="it goes on undisturbed",
                remedy="stop it (valerix stop), or name another folder with --to",
            )
        there = {entry.name for entry in self.home.iterdir()} if self.home.exists() else set()
        if used := sorted(name for name in there - _MAY_BE_THERE if not name.startswith(".")):
            raise StartRefused(
                problem=f"{self.home} has data already: {', '.join(used)}",
                kept=_NOTHING,
                remedy=f"move it away (mv {self.home} {self.home}.old), or name another folder"
                " with --to",
            )

    def sources(self, servers: LocalRecoveryServers, say: Say) -> RestoreSources:
        """Return what can be restored from."""
        return RestoreSources(self.source_trail, self.trail, servers, within_s=WITHIN_S, say=say)


async def _check(source: str, at: datetime | None, place: RestorePlace) -> Offer:
    sources = place.sources(LocalRecoveryServers(WITHIN_S), progress())
    return await sources.named(source).check(at)


async def restore_to(place: RestorePlace, source: str, at: datetime | None) -> Restored:
    """Restore to a place that is free; whatever was half-made is gone if this raises."""
    say, servers = progress(), LocalRecoveryServers(WITHIN_S)
    chosen = place.sources(servers, say).named(source)
    preflight.disk_has_room(place.home)
    with _locked(place.state_dir):
        partial = partial_beside(place.home / _DATA)
        with gone_unless_done(partial, f"restoring to {place.home}"):
            partial.mkdir(mode=0o700)
            restored = await restore(
                chosen,
                at,
                partial,
                servers=servers,
                trail=place.trail,
                databases=DATABASES,
                say=say,
            )
            say("putting everything in its place")
            _put_in_place(partial, place.state_dir)
    return restored


@contextmanager
def _locked(state_dir: StateDir) -> Iterator[None]:
    """Keep others out of a home, and take it away again if it was made for nothing."""
    is_new = not state_dir.folder.exists()
    state_dir.create()
    lock = StateDirLock(state_dir)
    lock.acquire()
    try:
        sweep(state_dir.folder)
        yield
    except BaseException:
        if is_new:
            state_dir.delete()
        raise
    finally:
        lock.release()


def _put_in_place(partial: Path, state_dir: StateDir) -> None:
    """Give everything the place that the stack looks for it in, the data last."""
    for log in partial.glob("*.log"):
        log.replace(state_dir.logs / f"restore-{log.name}")
    passwords = partial / PASSWORDS
    write_private(state_dir.secrets / _DATA, passwords.read_text())
    passwords.unlink()
    move_durably(partial, state_dir.postgres)


def _reconcile(place: RestorePlace) -> bool:
    """Make the databases agree with each other; return whether nothing is left to do."""
    from deploy.cli.reconcile import reconcile_stopped, show

    settings = replace(
        StackSettings.from_environment(),
        home=place.home,
        backup_home=place.trail.folder,
        ports=Ports.free(),
    )
    out.print("\nReconciling orders and inventory:", style="bold")
    try:
        report = asyncio.run(
            reconcile_stopped(
                settings, dry_run=False, orders_may_be_empty=False, progress=progress()
            )
        )
    except _UNRECONCILED as problem:
        show_unreconciled(problem, place.home, place.trail.folder)
        return False
    show(report)
    return not report.needs_attention


@contextmanager
def _in_words(place: RestorePlace) -> Iterator[None]:
    """Tell a person what went wrong, what became of the data, and what to do next."""
    try:
        yield
    except _PROBLEMS as problem:
        said = problem if isinstance(problem, BackupProblem) else repr(problem)
        raise StartRefused(
            problem=f"nothing was restored: {said}",
            kept=f"all that is in {place.source_trail.folder}; nothing is left in {place.home}",
            remedy="try another source (valerix backup list), or an earlier time with --at;"
            " see docs/runbook.md",
        ) from problem
    except KeyboardInterrupt:
        err.print(f"\nInterrupted; nothing is left in {place.home}.", soft_wrap=True)
        raise SystemExit(130) from None


def progress() -> Say:
    """Return what prints each step with the seconds since now."""
    began = time.monotonic()

    def say(what: str) -> None:
        err.print(f"  {time.monotonic() - began:6.1f} s  {what}", markup=False, soft_wrap=True)

    return say
