"""Capsules without a database: a few small files that are to sealing what a cluster's would be."""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random

import pyrage
import zstandard

from backup.capsule.manifest import Contents, SealedCapsule, label_name
from backup.capsule.seal import seal
from backup.restore_points import archive
from backup.restore_points.base import BaseBackup
from backup.restore_points.cluster import Cluster
from backup.restore_points.reach import Reach
from backup.restore_points.wal import _LONG_HEADER, format_lsn, segment_name

SEGMENT = 64 * 1024
DAY = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
FIRST, LAST = 3, 6
FILES = {
    "PG_VERSION": b"18\n",
    "base/1/1259": Random(1).randbytes(50_000),
    "global/pg_control": b"control" * 100,
    "postgresql.auto.conf": b"# settings\n",
}
EMPTY = ("pg_notify", "pg_wal/summaries")

Alter = Callable[[dict[str, bytes]], None]


@dataclass
class Made:
    """What a capsule is made from, and the key that opens it."""

    base: Path
    wal: Path
    folder: Path
    identity: pyrage.x25519.Identity

    @property
    def key(self) -> str:
        return str(self.identity)

    @property
    def recipient(self) -> str:
        return str(self.identity.to_public())

    def seal(
        self,
        day: date = DAY,
        previous: SealedCapsule | None = None,
        reserve_bytes: int | None = 0,
    ) -> SealedCapsule:
        return seal(
            day=day,
            base=self.base,
            wal=self.wal,
            reach=reach(),
            contents=Contents(schema_versions={"orders": "6"}),
            previous=previous,
            recipients=[self.recipient],
            folder=self.folder,
            reserve_bytes=reserve_bytes,
        )

    def alter(self, capsule: SealedCapsule, alter: Alter) -> SealedCapsule:
        """Seal an altered capsule as somebody would who has all keys, and mend its label."""
        plain = zstandard.ZstdDecompressor().stream_reader(
            pyrage.decrypt(capsule.path.read_bytes(), [self.identity])
        )
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(plain.read()), mode="r:") as tar:
            for entry in tar:
                file = tar.extractfile(entry)
                name = entry.name if file else f"{entry.name}/"
                found[name] = file.read() if file else b""
        alter(found)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as tar:
            for name, content in found.items():
                entry = tarfile.TarInfo(name.removesuffix("/"))
                entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        sealed = pyrage.encrypt(
            zstandard.ZstdCompressor().compress(out.getvalue()), [self.identity.to_public()]
        )
        return self.relabel(capsule, sealed)

    def relabel(self, capsule: SealedCapsule, content: bytes) -> SealedCapsule:
        """Put other content in the place of a capsule, with a label that fits."""
        digest = sha256(content).hexdigest()
        update = {"sha256": digest, "size_bytes": len(content)}
        other = capsule.model_copy(update=update)
        other = other.model_copy(update={"path": self.folder / other.name})
        other.path.write_bytes(content)
        (self.folder / label_name(other.name)).write_bytes(other.label())
        return other


def make(folder: Path) -> Made:
    base, wal = folder / "made" / "base", folder / "made" / "wal"
    for name, content in FILES.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    for name in EMPTY:
        (base / name).mkdir(parents=True)
    (base / "backup_manifest").write_text(json.dumps(_facts()))
    wal.mkdir()
    for number in range(FIRST, LAST + 1):
        add_segment(wal, number)
    return Made(base, wal, folder / "capsules", pyrage.x25519.Identity.generate())


def add_segment(wal: Path, number: int, *, system: int = 77, timeline: int = 1) -> None:
    name = segment_name(timeline, number, SEGMENT)
    head = _LONG_HEADER.pack(0xD118, 2, timeline, number * SEGMENT, 0, system, SEGMENT, 8192)
    file = wal.with_name(name)
    file.write_bytes(head.ljust(SEGMENT, bytes([number])))
    archive.push(file, name, wal)
    file.unlink()


def reach() -> Reach:
    cluster = Cluster(
        system_identifier="77", server_version=180006, segment_bytes=SEGMENT, now=MIDNIGHT
    )
    base = BaseBackup(
        name="20260222",
        kind="full",
        parent=None,
        cluster=cluster,
        timeline=1,
        start_lsn=FIRST * SEGMENT + 40,
        end_lsn=FIRST * SEGMENT + 400,
        started_at=MIDNIGHT - timedelta(days=7),
        ended_at=MIDNIGHT - timedelta(days=7),
        size_bytes=1,
    )
    return Reach(
        base=base,
        timeline=1,
        history=(),
        end_lsn=LAST * SEGMENT + 100,
        closed_lsn=LAST * SEGMENT + 200,
        covers_from=base.ended_at,
        covers_to=MIDNIGHT,
    )


def _facts() -> dict[str, object]:
    base = reach().base
    return {
        "System-Identifier": 77,
        "WAL-Ranges": [
            {
                "Timeline": 1,
                "Start-LSN": format_lsn(base.start_lsn),
                "End-LSN": format_lsn(base.end_lsn),
            }
        ],
    }


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, and every folder with a slash at its end."""
    return {
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else ""): (
            b"" if path.is_dir() else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
    }
