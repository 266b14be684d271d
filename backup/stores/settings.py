"""Settings of the stores, for who only reads from them (`BACKUP_*_STORES`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from backup.stores.folder import FolderStore
from backup.stores.s3 import S3Settings, S3Store
from backup.stores.store import Store
from backup.trail_folder import TrailFolder

# The store that is there without any settings, in the folder of the trail.
COPIES = "copies"


class StoreSettings(BaseSettings):
    """The stores alone, by the environment variables of the backup process."""

    model_config = SettingsConfigDict(
        env_prefix="BACKUP_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    folder_stores: dict[str, Path] = Field(default_factory=dict, examples=[{"nas": "/mnt/nas"}])
    s3_stores: dict[str, S3Settings] = Field(
        default_factory=dict, examples=[{"far": {"bucket": "backups", "region": "eu-central-1"}}]
    )
    # What backups leave free on every disk that they write to. Unless it is set, that is 5 % of the
    # disk, at least 2 GiB and at most 16: the database may be on it, and stops when it is full.
    reserve_bytes: int | None = Field(None, ge=0)


def stores_by_name(settings: StoreSettings, trail: TrailFolder) -> dict[str, Store]:
    """Return all stores: the one in the folder of the trail, and those of the settings."""
    folders = {COPIES: trail.copies, **settings.folder_stores}
    found: list[Store] = [
        FolderStore(name, folder, reserve_bytes=settings.reserve_bytes)
        for name, folder in folders.items()
    ]
    found += [S3Store(name, bucket) for name, bucket in settings.s3_stores.items()]
    return {store.name: store for store in found}
