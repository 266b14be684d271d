"""Settings of inventory_api (`INVENTORY_*`), with limits checked against each other."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from service_kit.process.settings import ServiceSettings

# Postgres counts in whole milliseconds, and takes 0 for "no limit".
SHORTEST_S = 0.01


class InventorySettings(ServiceSettings):
    """Environment variables with the prefix INVENTORY_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_")

    database_url: SecretStr
    host: str = "127.0.0.1"
    port: int = Field(8102, ge=1, le=65535)
    pool_size: int = Field(10, ge=4, le=200)
    group_writers: int = Field(2, ge=1, le=16)

    # Each limit lies inside the next: a lock that is not had fails its statement, a statement
    # that takes too long fails its request, and all of that before the caller's own patience
    # (workflows/policies.py, 600 ms) is over.
    lock_timeout_s: float = Field(0.20, ge=SHORTEST_S)
    statement_timeout_s: float = Field(0.35, ge=SHORTEST_S)
    request_deadline_s: float = Field(0.50, ge=SHORTEST_S, allow_inf_nan=False)

    @model_validator(mode="after")
    def _limits_nest(self) -> Self:
        if not self.lock_timeout_s < self.statement_timeout_s < self.request_deadline_s:
            raise ValueError(
                "INVENTORY_LOCK_TIMEOUT_S < INVENTORY_STATEMENT_TIMEOUT_S < "
                "INVENTORY_REQUEST_DEADLINE_S has to hold"
            )
        if self.group_writers * 3 >= self.pool_size:
            raise ValueError("INVENTORY_POOL_SIZE has to exceed 3 x INVENTORY_GROUP_WRITERS")
        return self
