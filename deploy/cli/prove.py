"""Commands `valerix backup prove` and `valerix backup drill`: restores on an ordinary day."""

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.errors import BackupProblem, NotCovered
from backup.restore.capsule_source import found_capsule
from backup.restore.drill import RestoreDrill
from backup.restore.moment import in_words
from backup.restore.proofs import Drill, Proof
from backup.restore.prove import RestoreProver
from backup.steps import sealed_capsules
from backup.trail_folder import TrailFolder
from deploy.cli.restore import WITHIN_S, progress
from deploy.cli.restore_source import configured_stores, store_settings
from deploy.local.errors import StartRefused
from deploy.local.postgres.server import DATABASES
from deploy.local.recovery import LocalRecoveryServers
from deploy.local.settings import backup_home_from
from deploy.terminal import err, out, print_unwrapped

# Not that of the backup process, which may be proving something itself.
_PROVE, _DRILL = "prove", "drill"


def prove(wanted: str | None) -> int:
    """Return 0 if a restore of the capsule has brought everything back, else 1.

    `wanted` is a file, a date, or how its hash begins; None means the newest one.
    """
    trail = TrailFolder(backup_home_from(os.environ))
    with _in_words(trail):
        capsule = _capsule(wanted, trail)
        prover = RestoreProver(
            LocalRecoveryServers(WITHIN_S),
            trail.secret_key,
            trail.folder / _PROVE,
            DATABASES,
            WITHIN_S,
            progress(),
            reserve_bytes=store_settings().reserve_bytes,
        )
        proof = asyncio.run(prover.proven(capsule))
    _show_proof(capsule, proof)
    return 0 if proof.holds else 1


def drill() -> int:
    """Return 0 if the newest copy in each store could be restored to some second, else 1."""
    trail = TrailFolder(backup_home_from(os.environ))
    with _in_words(trail):
        rehearsal = RestoreDrill(
            LocalRecoveryServers(WITHIN_S),
            trail.secret_key,
            trail.folder / _DRILL,
            DATABASES,
            trail.capsules,
            within_s=WITHIN_S,
            dice=random.SystemRandom(),
            say=progress(),
            reserve_bytes=store_settings().reserve_bytes,
        )
        done = asyncio.run(rehearsal.run(list(configured_stores(trail).values())))
    _show_drill(done)
    return 0 if done.ok else 1


def _capsule(wanted: str | None, trail: TrailFolder) -> SealedCapsule:
    if wanted is not None and Path(wanted).expanduser().is_file():
        return found_capsule(Path(wanted).expanduser().absolute(), trail.secret_key())
    there = sealed_capsules(trail.capsules)[0] if trail.capsules.is_dir() else []
    meant = [
        capsule
        for capsule in there
        if wanted is None
        or wanted in {capsule.day.isoformat(), capsule.name}
        or (len(wanted) >= 4 and capsule.sha256.startswith(wanted))
    ]
    if not meant:
        raise NotCovered(
            f"there is no capsule {wanted!r} in {trail.capsules}"
            if wanted
            else f"there is no capsule in {trail.capsules} yet"
        )
    return meant[-1]


def _show_proof(capsule: SealedCapsule, proof: Proof) -> None:
    name = f"The capsule {capsule.sha256[:12]} of {capsule.day}"
    if proof.holds:
        out.print(
            f"{name} is proven: a restore of it brought everything back, up to"
            f" {in_words(proof.covers_to)}, in {proof.seconds:.1f} s.",
            style="bold green",
            soft_wrap=True,
        )
        return
    err.print(f"{name} does not bring everything back:", style="bold red", soft_wrap=True)
    for difference in proof.differences:
        err.print(f"  {difference}", markup=False, soft_wrap=True)
    err.print("kept: the capsule, and all others; nothing relies on this one", soft_wrap=True)
    err.print("next: valerix backup now seals and proves a new one", soft_wrap=True)


def _show_drill(done: Drill) -> None:
    for line in done.detail.split("; "):
        print_unwrapped(f"  {line}")
    if done.ok:
        out.print(f"Every store brought it back, in {done.seconds:.1f} s.", style="bold green")
        return
    err.print("Not every store could bring it back.", style="bold red")
    err.print("kept: all copies as they are")
    err.print("next: see that each store is there and has a copy: valerix backup list")


@contextmanager
def _in_words(trail: TrailFolder) -> Iterator[None]:
    try:
        yield
    except (BackupProblem, TimeoutError) as problem:
        raise StartRefused(
            problem=f"nothing was proven: {str(problem) or 'it took too long'}",
            kept=f"all that is in {trail.folder}",
            remedy="try another capsule (valerix backup list), or seal a new one: valerix"
            " backup now",
        ) from problem
    except KeyboardInterrupt:
        err.print("\nInterrupted; nothing was changed.")
        raise SystemExit(130) from None
