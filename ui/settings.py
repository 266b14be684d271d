"""What the UI process is told."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service_kit.settings import ServiceSettings


class UiSettings(ServiceSettings):
    """Environment variables with the prefix UI_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="UI_")

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    order_api_url: str = Field("http://127.0.0.1:8101", validation_alias="ORDER_API_URL")
    inventory_api_url: str = Field("http://127.0.0.1:8102", validation_alias="INVENTORY_API_URL")
    temporal_ui_url: str = Field("http://127.0.0.1:8233", validation_alias="TEMPORAL_UI_URL")
