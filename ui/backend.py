"""Composition of the UI: everything behind the pages, put together once for the process."""

import json
import secrets
from typing import Any

from service_kit.http import application
from service_kit.http.tokens import TokenVerifier
from service_kit.observability.health import Health
from service_kit.observability.readiness import readiness_of
from service_kit.process import supervised
from service_kit.process.supervised import Supervised
from ui.clients.backup import BackupApi
from ui.clients.fault_admin import FaultApi
from ui.clients.http import Http
from ui.clients.inventory_api import InventoryApi
from ui.clients.order_api import OrderApi
from ui.identity import Tokens
from ui.live.event_streams import OrderEventStreams
from ui.live.load_burst import LoadBurst
from ui.live.pollers import OperationsPoller, StockPoller
from ui.live.trail_poller import TrailPoller
from ui.live.verification import SHUTDOWN_GRACE_S, Verification
from ui.settings import UiSettings
from ui.shop.checkout import Checkouts


class Backend:
    """The services as the pages see them. Nothing is connected before `open`."""

    def __init__(self, settings: UiSettings) -> None:
        key = settings.token_key.get_secret_value()
        self.settings = settings
        self.verifier = TokenVerifier(key, settings.token_audience)
        self.http = Http(Tokens(key, settings.token_audience))
        self.orders = OrderApi(self.http, settings.order_api_url)
        self.inventory = InventoryApi(self.http, settings.inventory_api_url)
        self.services = {
            "order_api": settings.order_api_url.rstrip("/"),
            "inventory_api": settings.inventory_api_url.rstrip("/"),
            "worker": settings.worker_url.rstrip("/"),
            "subscribers": settings.subscribers_url.rstrip("/"),
        }
        self.trail: TrailPoller | None = None
        if backup_url := settings.backup_url.rstrip("/"):
            self.services["backup"] = backup_url
            self.trail = TrailPoller(BackupApi(self.http, backup_url))
        self.faults = FaultApi(
            self.http,
            (self.inventory.url, self.orders.url),
            allowed=settings.fault_injection,
        )
        self.checkouts = Checkouts(self.orders)
        self.burst = LoadBurst(self.orders, secrets.token_hex(4))
        self.verification = Verification(settings.reports)
        self.event_streams = OrderEventStreams(self.orders)
        self.stock = StockPoller(self.inventory, self.orders)
        self.operations = OperationsPoller(
            self.http, self.orders, self.faults, self.services, self._own_health
        )
        self.tasks = [
            Supervised("stock", self.stock.run),
            Supervised("operations", self.operations.run),
        ]
        if self.trail is not None:
            self.tasks.append(Supervised("trail", self.trail.run))
        self.health: Health

    async def open(self) -> None:
        """Open connections; called when the application starts."""
        await self.http.open()
        probes = {
            "order_api:readiness": readiness_of(self.http.session, self.orders.url),
            "inventory_api:readiness": readiness_of(self.http.session, self.inventory.url),
            **supervised.probes(*self.tasks),
        }
        self.health = Health("ui", application.own_version(), probes, optional=frozenset(probes))

    async def close(self) -> None:
        """Close them."""
        await self.verification.stop(SHUTDOWN_GRACE_S)
        await self.http.close()

    @property
    def is_local(self) -> bool:
        """On somebody's own machine, where anyone at the browser may act as staff."""
        return self.settings.environment == "local"

    async def _own_health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(bytes((await self.health.deep()).body))
        return found
