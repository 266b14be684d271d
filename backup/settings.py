"""Settings of the backup process (`BACKUP_*`)."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from backup.legacy.settings import LegacySettings
from backup.stores.settings import COPIES, StoreSettings
from service_kit.process.settings import ServiceSettings

# Where a restore can be told to take things from, beside stores: no store may be called so.
_NOT_A_STORE = frozenset({"archive", "capsules", COPIES})


class BackupSettings(StoreSettings, ServiceSettings):
    """Environment variables with the prefix BACKUP_, and the shared ones.

    Stores are given as JSON, by the names that people know them by: BACKUP_FOLDER_STORES is
    `{"nas": "/mnt/nas"}`, BACKUP_S3_STORES is `{"far": {"bucket": "…", "region": "…"}}`.
    """

    model_config = SettingsConfigDict(env_prefix="BACKUP_")

    host: str = "127.0.0.1"
    port: int = Field(8107, ge=1, le=65535)
    # The folder of the trail (backup/trail_folder.py).
    home: Path
    # The database of the claims, by the role that may take base backups of its cluster.
    database_url: SecretStr
    # What is counted for a capsule, by the same role.
    orders_database_url: SecretStr
    inventory_database_url: SecretStr
    # The folder of pg_basebackup and the others, of the cluster's major version.
    postgres_programs: Path
    # Every so many base backups one is full; the others hold what has changed since the last one.
    full_every: int = Field(7, ge=1, le=60)
    # For each program of Postgres, for the archive to come after, and for a proof beside its log.
    within_s: float = Field(3600.0, gt=0, allow_inf_nan=False)
    pool_size: int = Field(4, ge=2, le=20)
    legacy: LegacySettings = Field(default_factory=LegacySettings)

    @model_validator(mode="after")
    def _names_are_single(self) -> Self:
        """Refuse two stores of one name: copies in one would be taken for copies in the other."""
        twice = self.folder_stores.keys() & self.s3_stores.keys()
        taken = twice | (_NOT_A_STORE & {*self.folder_stores, *self.s3_stores})
        if taken:
            raise ValueError(f"the name of a store is taken: {', '.join(sorted(taken))}")
        if inside := [name for name, folder in self.folder_stores.items() if self._holds(folder)]:
            raise ValueError(
                f"the store {inside[0]} is in the folder of the trail: it would be lost together"
                " with what it is a copy of"
            )
        return self

    def databases(self) -> dict[str, str]:
        """Return the addresses of all that is counted, by name."""
        return {
            "orders": self.orders_database_url.get_secret_value(),
            "inventory": self.inventory_database_url.get_secret_value(),
            "backup": self.database_url.get_secret_value(),
        }

    def _holds(self, folder: Path) -> bool:
        return folder.resolve().is_relative_to(self.home.resolve())
