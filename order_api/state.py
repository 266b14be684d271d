"""Objects that a running order_api holds, reachable from every route."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from order_api.catalogue import Catalogue
from order_api.db.store import Store
from order_api.event_stream import OrderEventStream
from order_api.open_streams import OpenStreams
from order_api.operations import Operations
from order_api.placement import OrderPlacement
from order_api.response_time import ResponseTimes
from service_kit.http.tokens import TokenVerifier
from service_kit.observability.health import Health


@dataclass(frozen=True, slots=True)
class OrderApiState:
    """Made when the app starts, gone when it stops."""

    store: Store
    catalogue: Catalogue
    placement: OrderPlacement
    event_stream: OrderEventStream
    streams: OpenStreams
    verifier: TokenVerifier
    response_times: ResponseTimes
    operations: Operations
    health: Health


def state_of(request: Request) -> OrderApiState:
    """Return the state of the app that serves `request`."""
    return cast("OrderApiState", request.app.state.service)
