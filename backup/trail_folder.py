"""The folder of the trail: what is where, apart from the data that it is there to bring back.

::

    clusters/<system identifier>/wal      the archive of the log, written by the server itself
    clusters/<system identifier>/bases    base backups
    capsules                              sealed ones, their labels and what proofs have shown
    copies                                the store that is there without any settings
    claims                                of legacy calls, the second place (docs/decisions/0019)
    legacy_service                        what the stand-in was given
    key/public, key/secret                a capsule is sealed with the one and opened with the other
    decisions.json                        what people have decided about orders (backup/reconcile)
    last-comparison.json                  what the last nightly comparison has found
    scratch, prove, drill, fetched        empty, but while something is restored for a look

A cluster is known by its system identifier, which a restore keeps: its new life goes on in the same
archive, on a timeline of its own. A new cluster has a new one, and never meets the log of another.
"""

from pathlib import Path

import pyrage

from backup.durable import made_folder, write_new, write_whole
from backup.errors import BackupProblem

_SECRET = "secret"  # noqa: S105 - a file's name
_PUBLIC = "public"
_CAPSULES = "*.capsule"


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
        self.decisions = folder / "decisions.json"
        self.last_comparison = folder / "last-comparison.json"

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
        """Return the key to seal with (`age1…`); both are made when there are none yet.

        A secret key that is there is never replaced, and tells which public one belongs to it. It
        may also be kept elsewhere: then the public one is enough. Raises `BackupProblem` when there
        are capsules already, and neither is there.
        """
        identity, known = self._identity(), self._read(_PUBLIC)
        if identity is None:
            if known is not None:
                return known
            identity = self._new_identity()
        public = str(identity.to_public())
        if known is None:
            write_whole(self.keys / _PUBLIC, f"{public}\n".encode())
        elif known != public:
            raise BackupProblem(
                f"{self.keys / _PUBLIC} and {self.keys / _SECRET} do not belong together: nothing"
                " is sealed, or it could not be opened with the secret key that is there; put the"
                " right one of them back, or delete the public one, and it is made from the other"
            )
        return public

    def secret_key(self) -> str:
        """Return the key that opens capsules; raise `BackupProblem` where it is kept elsewhere."""
        found = self._read(_SECRET)
        if found is None:
            raise BackupProblem(
                f"the secret key is not in {self.keys}: bring it from where it is kept"
            )
        return found

    def _new_identity(self) -> pyrage.x25519.Identity:
        """Return a new pair of keys, or that of whoever was making one at the same time."""
        if any(next(folder.glob(_CAPSULES), None) for folder in (self.capsules, self.copies)):
            raise BackupProblem(
                f"there are capsules, and no key is in {self.keys} any more: nothing is sealed, as"
                " a new key would not open the old ones; bring the secret key back from where it is"
                " kept, or move the capsules away to begin with a new one"
            )
        made_folder(self.keys)
        made = pyrage.x25519.Identity.generate()
        # The secret one first: nothing may ever be sealed with a key that cannot be opened.
        if write_new(self.keys / _SECRET, f"{made}\n".encode()):
            return made
        there = self._identity()
        assert there is not None, "somebody else has just written it"
        return there

    def _identity(self) -> pyrage.x25519.Identity | None:
        found = self._read(_SECRET)
        try:
            return None if found is None else pyrage.x25519.Identity.from_str(found)
        except pyrage.IdentityError:
            # without its text: it might be most of a key
            raise BackupProblem(
                f"what is in {self.keys / _SECRET} is not a secret key (AGE-SECRET-KEY-1…): put"
                " back the one that was there"
            ) from None

    def _read(self, name: str) -> str | None:
        try:
            return (self.keys / name).read_text().strip()
        except FileNotFoundError:
            return None
