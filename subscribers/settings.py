"""Settings of the subscribers' process (`SUBSCRIBERS_*`)."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from service_kit.process.settings import ServiceSettings


class SubscriberSettings(ServiceSettings):
    """Environment variables with the prefix SUBSCRIBERS_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="SUBSCRIBERS_")

    database_url: SecretStr = Field(validation_alias="ORDERS_DATABASE_URL")
    host: str = "127.0.0.1"
    port: int = Field(8104, ge=1, le=65535)
