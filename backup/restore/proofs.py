"""What restores have shown, as files beside the capsules: they survive the loss of the database."""

from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ValidationError

from backup.capsule.manifest import SUFFIX, SealedCapsule, Sha256, capsule_name
from backup.durable import made_folder, write_whole

_PROOF = ".proof.json"
_LAST_DRILL = "last-drill.json"
_LAST_GOOD_DRILL = "last-good-drill.json"
_TOLD_OF = timedelta(days=35)


class Proof(BaseModel, frozen=True):
    """What a restore of a capsule to its end has shown; `from_store` if a store's copy was used.

    It is proven if `differences` is empty: everything was back up to `covers_to`.
    """

    capsule_sha256: Sha256
    day: date
    from_store: str | None
    proven_at: datetime
    seconds: float
    covers_to: datetime
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything was back."""
        return not self.differences


class Drill(BaseModel, frozen=True):
    """How the last rehearsal went: for each store a restore of its newest copy to some second."""

    at: datetime
    ok: bool
    seconds: float
    # A sentence for each store, for a person to read.
    detail: str


def proof_file(folder: Path, capsule: SealedCapsule) -> Path:
    """Return where the proof of a capsule is, or will be."""
    return _beside(folder, capsule_name(capsule.day, capsule.sha256))


def write_proof(folder: Path, capsule: SealedCapsule, proof: Proof) -> None:
    """Keep the last proof of a capsule, durably."""
    made_folder(folder)
    write_whole(proof_file(folder, capsule), proof.model_dump_json(indent=1).encode())


def read_proof(folder: Path, capsule: SealedCapsule) -> Proof | None:
    """Return the last proof of a capsule, None if there is none that can be read."""
    proof = _read(proof_file(folder, capsule))
    return proof if proof is not None and proof.capsule_sha256 == capsule.sha256 else None


def all_proofs(folder: Path) -> list[Proof]:
    """Return the proofs of all capsules, also of those that are gone, by how far they reach."""
    if not folder.exists():
        return []
    found = [_read(path) for path in folder.glob(f"[!.]*{_PROOF}")]
    return sorted((proof for proof in found if proof), key=lambda proof: proof.covers_to)


def newest_proven(folder: Path) -> Proof | None:
    """Return the proof that reaches furthest of those that hold, None if there is none."""
    return next((proof for proof in reversed(all_proofs(folder)) if proof.holds), None)


def delete_old_proofs(folder: Path) -> int:
    """Delete the proofs of capsules that are gone from here for long; return how many there were.

    Those of the last weeks stay, whatever became of their capsules: people are told of those days.
    """
    newest = newest_proven(folder)
    if newest is None:
        return 0
    names = [
        capsule_name(proof.day, proof.capsule_sha256)
        for proof in all_proofs(folder)
        if proof.day < newest.day - _TOLD_OF
    ]
    gone = [name for name in names if not (folder / name).exists()]
    for name in gone:
        _beside(folder, name).unlink(missing_ok=True)
    return len(gone)


def write_drill(folder: Path, drill: Drill) -> None:
    """Keep how the last drill went, and beside it the last good one, which a failed one leaves."""
    made_folder(folder)
    content = drill.model_dump_json(indent=1).encode()
    if drill.ok:
        write_whole(folder / _LAST_GOOD_DRILL, content)
    write_whole(folder / _LAST_DRILL, content)


def read_drill(folder: Path) -> Drill | None:
    """Return how the last drill went, None if there was none."""
    return _read_drill(folder / _LAST_DRILL)


def read_good_drill(folder: Path) -> Drill | None:
    """Return the last drill that went well, None if none is known."""
    good = _read_drill(folder / _LAST_GOOD_DRILL)
    if good is not None:
        return good
    last = read_drill(folder)  # of a release that kept only this
    return last if last is not None and last.ok else None


def _read_drill(path: Path) -> Drill | None:
    try:
        return Drill.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _beside(folder: Path, capsule: str) -> Path:
    return folder / f"{capsule.removesuffix(SUFFIX)}{_PROOF}"


def _read(path: Path) -> Proof | None:
    try:
        return Proof.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
