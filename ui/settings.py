"""Settings of the UI process (`UI_*`)."""

import hashlib
import hmac
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service_kit.process.settings import ServiceSettings


class UiSettings(ServiceSettings):
    """Environment variables with the prefix UI_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="UI_")

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    order_api_url: str = Field("http://127.0.0.1:8101", validation_alias="ORDER_API_URL")
    inventory_api_url: str = Field("http://127.0.0.1:8102", validation_alias="INVENTORY_API_URL")
    worker_url: str = Field("http://127.0.0.1:8103", validation_alias="WORKER_URL")
    subscribers_url: str = Field("http://127.0.0.1:8104", validation_alias="SUBSCRIBERS_URL")
    # Empty where backups are off: the operations page then says so in a line.
    backup_url: str = Field("http://127.0.0.1:8107", validation_alias="BACKUP_URL")
    temporal_ui_url: str = Field("http://127.0.0.1:8233", validation_alias="TEMPORAL_UI_URL")
    # Carts and who is signed in, one small file a browser; replicas share the folder.
    storage: Path = Path(".valerix/ui")
    # Reports of verification runs, as `valerix chaos run` leaves them.
    reports: Path = Path("reports")

    def session_secret(self) -> str:
        """The key that signs session cookies: derived, so that no token is also a cookie."""
        key = self.token_key.get_secret_value().encode()
        return hmac.new(key, b"valerix ui session", hashlib.sha256).hexdigest()
