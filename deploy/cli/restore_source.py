"""What `--from` means: the archive, a store by its name, a capsule file, or a folder."""

from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.restore.archive_source import ArchiveSource
from backup.restore.capsule_source import CapsuleSource, found_capsule
from backup.restore.server import RecoveryServers
from backup.restore.sources import Say, Source
from backup.restore.store_source import AsSource, StoreSource
from backup.stores.folder import FolderStore
from backup.stores.settings import StoreSettings, stores_by_name
from backup.stores.store import Store
from backup.trail_folder import TrailFolder
from deploy.local.errors import StartRefused
from service_kit.process.settings import SETTINGS_ERRORS, problems

ARCHIVE = "archive"
_CAPSULES = "capsules"
_FETCHED = "fetched"


class RestoreSources:
    """Sources by what a person calls them.

    `trail` has the archive, the capsules and the key; `home_trail` is the folder in which the
    restored cluster is going to be backed up.
    """

    def __init__(
        self,
        trail: TrailFolder,
        home_trail: TrailFolder,
        servers: RecoveryServers,
        *,
        within_s: float,
        say: Say,
    ) -> None:
        self._trail = trail
        self._home_trail = home_trail
        self._programs = servers.programs
        self._within_s = within_s
        self._say = say

    def named(self, name: str) -> Source:
        """Return the source, or refuse a name that nothing has."""
        kind, _, cluster = name.partition("/")
        if kind == ARCHIVE and not Path(name).exists():
            return self._archive(self._trail, cluster or None)
        stores = self._stores()
        if name in stores:
            return self._store(stores[name])
        path = Path(name).expanduser().absolute()
        if path.is_dir():
            there = TrailFolder(path)
            if there.clusters.is_dir():
                return self._archive(there, None)
            return self._store(FolderStore(str(path), path))
        if path.is_file() or name.endswith(".capsule"):
            return self._capsules()(found_capsule(path, self._trail.secret_key()), "")
        raise StartRefused(
            problem=f"there is no {name!r} to restore from",
            kept="nothing was started or changed",
            remedy=f"--from {ARCHIVE}, {', '.join(stores)}, or the path of a capsule or a folder",
        )

    def _stores(self) -> dict[str, Store]:
        capsules = FolderStore(_CAPSULES, self._trail.capsules)
        return {**configured_stores(self._trail), _CAPSULES: capsules}

    def _archive(self, trail: TrailFolder, cluster: str | None) -> Source:
        return ArchiveSource(
            trail, self._programs, cluster=cluster, within_s=self._within_s, say=self._say
        )

    def _store(self, store: Store) -> Source:
        scratch = self._home_trail.folder / _FETCHED
        # Before the first byte is fetched: what comes may take hours, and is of no use without.
        return StoreSource(store, self._capsules(), scratch, say=self._say)

    def _capsules(self) -> AsSource:
        """Return what opens capsules with the key; raise `BackupProblem` if it is not here."""
        key = self._trail.secret_key()

        def capsule_source(capsule: SealedCapsule, where: str) -> CapsuleSource:
            return CapsuleSource(
                capsule, key, self._home_trail, self._programs, say=self._say, where=where
            )

        return capsule_source


def configured_stores(trail: TrailFolder) -> dict[str, Store]:
    """Return the stores of the settings by name, or refuse settings that make no sense."""
    return stores_by_name(store_settings(), trail)


def store_settings() -> StoreSettings:
    """Return the settings of the stores, or refuse those that make no sense."""
    try:
        return StoreSettings()
    except SETTINGS_ERRORS as error:
        raise StartRefused(
            problem="the settings of the stores cannot be read: "
            + "; ".join(problems(error, StoreSettings)),
            kept="nothing was started or changed",
            remedy="correct the variable where it is set, and do this again; deploy/README.md shows"
            " how stores are given",
        ) from None
