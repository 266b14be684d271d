"""Settings of legacy_service (`LEGACY_SERVICE_*`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service_kit.process.settings import ServiceSettings


class LegacyServiceSettings(ServiceSettings):
    """Environment variables with the prefix LEGACY_SERVICE_, and the shared ones.

    FAULT_INJECTION lets staff tell the service to misbehave; it is refused in production.
    """

    model_config = SettingsConfigDict(env_prefix="LEGACY_SERVICE_")

    folder: Path
    host: str = "127.0.0.1"
    port: int = Field(8106, ge=1, le=65535)
    max_capsule_bytes: int = Field(64 * 1024**3, ge=1)
    # For the whole of it: a capsule of some gigabytes over a slow line takes its time.
    upload_within_s: float = Field(6 * 3600.0, gt=0, allow_inf_nan=False)
