"""What is in a capsule: every file with its hash, how far it reaches, and how much to expect.

The manifest is the last file of a capsule, written when all others have been. What a store shows
without the key is `SealedCapsule`, beside the capsule; when it is opened both have to agree.
"""

from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from backup.restore_points import archive
from backup.restore_points.reach import Reach

NAME = "manifest.json"
BASE = "base"
WAL = "wal"
SUFFIX = ".capsule"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def inner_path(path: str) -> str:
    """Return a path that stays in the folder a capsule is opened in; raise ValueError else."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or parts[0] not in {BASE, WAL}
        or ".." in parts
        or str(PurePosixPath(path)) != path
    ):
        raise ValueError(f"{path!r} is not a path in a capsule")
    return path


InnerPath = Annotated[str, AfterValidator(inner_path)]


class SealedFile(BaseModel, frozen=True):
    """A file in a capsule."""

    path: InnerPath
    size_bytes: int = Field(ge=0)
    sha256: Sha256


class TableState(BaseModel, frozen=True):
    """What a table held shortly before the end of a capsule.

    `fingerprint` is that of a ledger: the sum of a hash of each row, whatever their order. It and
    `rows` count what the transactions of `snapshot` saw.
    """

    database: str
    table: str
    rows: int
    fingerprint: str | None = None


class Contents(BaseModel, frozen=True):
    """What the databases held: by it a person sees what a capsule is worth, and a proof checks."""

    snapshots: dict[str, str] = Field(default_factory=dict)
    schema_versions: dict[str, str] = Field(default_factory=dict)
    tables: tuple[TableState, ...] = ()


class CapsuleManifest(BaseModel, frozen=True):
    """Everything that is known of a capsule when it is sealed."""

    format: Literal[1] = 1
    day: date
    reach: Reach
    contents: Contents
    # The capsule before this one. A chain: one that was swapped or altered breaks the next.
    previous_sha256: Sha256 | None
    folders: tuple[InnerPath, ...]
    files: tuple[SealedFile, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Hold what a restore relies on: each path once, and a log without a gap."""
        paths = [*self.folders, *(file.path for file in self.files)]
        if len(set(paths)) != len(paths):
            raise ValueError("a path is listed twice")
        if self.reach.covers_from > self.reach.covers_to:
            raise ValueError("it ends before it begins")
        prefix = f"{WAL}/"
        self.reach.require(
            [
                file.path.removeprefix(prefix).removesuffix(archive.SUFFIX)
                for file in self.files
                if file.path.startswith(prefix)
            ]
        )
        return self


class SealedCapsule(BaseModel, frozen=True):
    """A sealed capsule in a folder: what may be known without its key."""

    day: date
    path: Path
    sha256: Sha256
    size_bytes: int
    covers_from: datetime
    covers_to: datetime

    @property
    def name(self) -> str:
        """Its name in every store: the day, and the hash that it must have."""
        return capsule_name(self.day, self.sha256)

    def label(self) -> bytes:
        """Return what lies beside it: everything but where it is."""
        return self.model_dump_json(exclude={"path"}, indent=1).encode()

    @classmethod
    def from_label(cls, label: bytes, path: Path) -> Self:
        """Read what lies beside a capsule."""
        found = _Label.model_validate_json(label)
        return cls(path=path, **found.model_dump())


class _Label(BaseModel, frozen=True):
    day: date
    sha256: Sha256
    size_bytes: int
    covers_from: datetime
    covers_to: datetime


def capsule_name(day: date, sha256: str) -> str:
    """Return the name under which a capsule is kept everywhere."""
    return f"{day.isoformat()}.{sha256}{SUFFIX}"


def label_name(capsule: str) -> str:
    """Return the name of what lies beside a capsule."""
    return f"{capsule.removesuffix(SUFFIX)}.json"
