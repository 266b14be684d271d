"""Objects that a running inventory_api holds, reachable from every route."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from inventory_api.reservations import Reservations
from inventory_api.stock import Stock
from service_kit.http.tokens import TokenVerifier
from service_kit.observability.health import Health
from service_kit.postgres.pool import Pool


@dataclass(frozen=True, slots=True)
class InventoryApiState:
    """Made when the app starts, gone when it stops."""

    pool: Pool
    stock: Stock
    reservations: Reservations
    verifier: TokenVerifier
    health: Health


def state_of(request: Request) -> InventoryApiState:
    """Return the state of the app that serves `request`."""
    return cast("InventoryApiState", request.app.state.service)
