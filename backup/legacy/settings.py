"""Settings of the calls of the legacy backup service (`BACKUP_LEGACY_*`)."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class LegacySettings(BaseSettings):
    """Environment variables with the prefix BACKUP_LEGACY_; times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="BACKUP_LEGACY_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    url: str = "http://127.0.0.1:8106"
    token: SecretStr
    # Where the second copy of each claim is: on another disk than the database (docs/decisions).
    claims_folder: Path
    # Whose `Date` says what day it is. Any answer will do, also of another server with a good
    # clock, for services at which a look is a call.
    clock_url: str | None = None
    # Whether GET /v1/calls/{date} exists and is free. It is asked after both places were lost.
    tells_its_calls: bool = True
    connect_within_s: float = Field(10.0, gt=0, le=60)
    look_within_s: float = Field(10.0, gt=0, le=60)
    call_within_s: float = Field(6 * 3600.0, gt=0, allow_inf_nan=False)
