"""Settings of the worker process (`WORKER_*`)."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from service_kit.process.settings import ServiceSettings
from workflows.policies import Deadlines


class WorkerSettings(ServiceSettings):
    """Environment variables with the prefix WORKER_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="WORKER_")

    host: str = "127.0.0.1"
    port: int = Field(8103, ge=1, le=65535)
    saga: Deadlines = Field(default_factory=Deadlines)
    orders_database_url: SecretStr = Field(validation_alias="ORDERS_DATABASE_URL")
    inventory_url: str = Field("http://127.0.0.1:8102", validation_alias="INVENTORY_URL")
    inventory_token: SecretStr = Field(validation_alias="INVENTORY_TOKEN")
    pool_size: int = Field(6, ge=2, le=100)
    # Open orders beyond this are replayed from history when they move again.
    cached_workflows: int = Field(5_000, ge=10)
    workflow_tasks: int = Field(100, ge=2)
    local_activities: int = Field(200, ge=1)
    # Enough that a warehouse which accepts and never answers cannot use them all up in the time
    # that a durable attempt takes (some 40 new ones a second, 10 s each).
    activities: int = Field(600, ge=1)
    sandbox: bool = False
    # Which build of the code this is, for Temporal: an order ends on the build that it began on,
    # and `deploy.builds` decides which one takes new ones. Without one, any worker takes any order.
    build_id: str | None = Field(None, pattern=r"^[\w.-]{1,100}$")
    deployment: str = Field("valerix-orders", pattern=r"^[\w-]{1,100}$")
