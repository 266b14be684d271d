"""The folder of the trail: what is where, apart from the data that it is there to bring back.

::

    clusters/<system identifier>/wal      the archive of the log, written by the server itself
    clusters/<system identifier>/bases    base backups
    capsules                              sealed ones, their labels and what proofs have shown
    copies                                the store that is there without any settings
    claims                                of legacy calls, the second place (docs/decisions/0019)
    legacy_service                        what the stand-in was given
    key/public, key/secret                a capsule is sealed with the one and opened with the other

A cluster is known by its system identifier, which a restore keeps: its new life goes on in the same
archive, on a timeline of its own. A new cluster has a new one, and never meets the log of another.
"""

import contextlib
from pathlib import Path

import pyrage

from backup.durable import made_folder, sync, write_whole
from backup.errors import BackupProblem

_SECRET = "secret"  # noqa: S105 - a file's name
_PUBLIC = "public"


class TrailFolder:
    """Paths below `folder`; nothing is made by looking."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clusters = folder / "clusters"
        self.capsules = folder / "capsules"
        self.copies = folder / "copies"
        self.claims = folder / "claims"
        self.legacy_service = folder / "legacy_service"
        self.keys = folder / "key"

    def wal(self, system_identifier: str) -> Path:
        """Return the archive of a cluster's log."""
        return self.clusters / system_identifier / "wal"

    def bases(self, system_identifier: str) -> Path:
        """Return the folder of a cluster's base backups."""
        return self.clusters / system_identifier / "bases"

    def known_clusters(self) -> list[str]:
        """Return the system identifiers of all clusters that have a folder here."""
        if not self.clusters.exists():
            return []
        return sorted(entry.name for entry in self.clusters.iterdir() if entry.name.isdecimal())

    def public_key(self) -> str:
        """Return the key to seal with (`age1…`); both are made when there are none yet."""
        file = self.keys / _PUBLIC
        with contextlib.suppress(FileNotFoundError):
            return file.read_text().strip()
        made_folder(self.keys)
        try:
            # Brought from where it is kept, for a restore: it opens all older capsules.
            identity = pyrage.x25519.Identity.from_str(self._secret())
        except FileNotFoundError:
            identity = pyrage.x25519.Identity.generate()
            # The secret one first: nothing may ever be sealed with a key that cannot be opened.
            write_whole(self.keys / _SECRET, f"{identity}\n".encode())
            (self.keys / _SECRET).chmod(0o600)
            sync(self.keys)
        except pyrage.IdentityError:
            raise BackupProblem(f"what is in {self.keys / _SECRET} is not a secret key") from None
        write_whole(file, f"{identity.to_public()}\n".encode())
        return str(identity.to_public())

    def secret_key(self) -> str:
        """Return the key that opens capsules; raise `BackupProblem` where it is kept elsewhere."""
        try:
            return self._secret()
        except FileNotFoundError as error:
            raise BackupProblem(
                f"the secret key is not in {self.keys}: bring it from where it is kept"
            ) from error

    def _secret(self) -> str:
        return (self.keys / _SECRET).read_text().strip()
