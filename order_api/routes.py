"""HTTP routes of order_api."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from activities.contracts import TERMINAL, OrderStatus
from order_api import cursors
from order_api.contracts import (
    OperationsSummary,
    Order,
    OrderPage,
    PlaceOrder,
    Products,
    ResponseTime,
    Timeline,
)
from order_api.db.stored_order import StoredOrder
from order_api.open_streams import EventStreamResponse
from order_api.order_requests import tried, worked_on
from order_api.search import search_for
from order_api.state import OrderApiState, state_of
from service_kit.http.idempotency_key import read as read_idempotency_key
from service_kit.http.idempotency_key import read_quoted as read_quoted_key
from service_kit.http.openapi import body_of, problems
from service_kit.http.paging import PageSize, SearchText, SkuCursor, Skus, contains
from service_kit.http.problems import Problem, unavailable
from service_kit.http.strict_json import read
from service_kit.http.tokens import Caller
from service_kit.postgres.pool import POSTGRES_UNAVAILABLE, is_refusal
from workflows.reasons import OUT_OF_STOCK
from workflows.shopper_texts import message_for

router = APIRouter(prefix="/v1", tags=["orders"])

RETRY_AFTER_S = "2"


async def caller_of(request: Request) -> Caller:
    """Let in whoever has a good token. Async, or FastAPI would hand it to a thread."""
    return state_of(request).verifier.caller(request)


Who = Annotated[Caller, Depends(caller_of)]


@contextmanager
def database_limits() -> Iterator[None]:
    """Turn what a struggling database raises into a quick 503."""
    try:
        yield
    except POSTGRES_UNAVAILABLE as error:
        how = "does not take this right now" if is_refusal(error) else "did not answer in time"
        raise unavailable("database-busy", f"Our database {how}.") from None


@router.get("/products", response_model=Products, responses=problems(401, 422, 503))
async def products(
    request: Request,
    caller: Who,
    limit: PageSize = 100,
    cursor: SkuCursor = None,
    search: SearchText = None,
    sku: Skus = None,
) -> Products:
    """Return what is on sale, by SKU, page by page.

    `search` is a part of a SKU or of a name; `sku`, once or more often, asks for these alone.
    """
    like = contains(search) if search else None
    with database_limits():
        found = await state_of(request).store.products(limit + 1, cursor, sku, like)
    page, more = found[:limit], len(found) > limit
    return Products(items=page, next_cursor=page[-1].sku if more else None)


@router.post(
    "/orders",
    response_model=Order,
    status_code=201,
    openapi_extra=body_of(PlaceOrder, idempotency_key=True),
    responses={
        202: {"model": Order, "description": "Durably accepted, still working"},
        **problems(400, 401, 409, 413, 415, 422, 429, 503),
    },
)
async def place_order(request: Request, caller: Who) -> Response:
    """Place an order, once per Idempotency-Key, and say within the answer budget how it stands."""
    state = state_of(request)
    key = read_idempotency_key(request)
    wanted = await read(request, PlaceOrder)
    tried(request)
    placed = await state.placement.place(
        caller.subject,
        key,
        wanted,
        request.scope["state"]["started"],
        quoted_key=read_quoted_key(request),
    )
    if placed.worked_on:
        worked_on(request)
    return _placed(placed.order)


@router.get("/orders", response_model=OrderPage, responses=problems(401, 403, 422, 503))
async def list_orders(
    request: Request,
    caller: Who,
    status: OrderStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    scope: Annotated[str, Query(pattern="^(own|all)$")] = "own",
    search: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> OrderPage:
    """Return orders, newest first: the caller's own, or with `scope=all`, for staff, everyone's.

    `search` is the beginning of an order's number, or a part of a SKU or of a product's name. A
    page of a search may be short, even empty, and be followed by another.
    """
    state = state_of(request)
    customer: str | None = caller.subject
    if scope == "all":
        state.verifier.caller(request, "staff", "service")
        customer = None
    before = cursors.decode(cursor) if cursor is not None else None
    with database_limits():
        page = await state.store.page(
            customer, status, limit, before, search_for(search) if search else None
        )
    return OrderPage(
        items=[order.to_response() for order in page.orders],
        next_cursor=cursors.encode(*page.next) if page.next else None,
    )


@router.get(
    "/orders/{order_id}",
    response_model=Order,
    responses=problems(401, 404, 503),
)
async def get_order(request: Request, order_id: str, caller: Who) -> Order:
    """Return one order."""
    return (await _own(state_of(request), order_id, caller)).to_response()


@router.get(
    "/orders/{order_id}/events",
    response_model=Timeline,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": "Nothing will follow the Last-Event-ID"},
        **problems(401, 404, 429, 503),
    },
)
async def order_events(
    request: Request,
    order_id: str,
    caller: Who,
    accept: Annotated[str, Header()] = "application/json",
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the order's timeline, or follow it live with `Accept: text/event-stream`."""
    state = state_of(request)
    order = await _own(state, order_id, caller)
    if "text/event-stream" in accept:
        after = last_event_id or ""
        seen = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
        if order.settled:
            with database_limits():
                ended = seen > 0 and not await state.store.events(order.order_id, seen)
            if ended:  # a browser would come back for ever; 204 is what stops it
                return Response(status_code=204)
        events = state.event_stream.follow(order.order_id, seen, settled=order.settled)
        return EventStreamResponse(state.streams, caller, events)
    with database_limits():
        timeline = Timeline(items=await state.store.events(order.order_id))
    return Response(timeline.model_dump_json(), media_type="application/json")


@router.post(
    "/orders/{order_id}/cancel",
    response_model=Order,
    status_code=202,
    responses=problems(401, 404, 409, 503),
)
async def cancel_order(request: Request, order_id: str, caller: Who) -> Response:
    """Cancel an order that has not shipped. Whether it was in time, the warehouse decides."""
    state = state_of(request)
    order = await _own(state, order_id, caller)
    with database_limits():
        order = await state.placement.cancel(order, request.scope["state"]["started"])
    if order.settled and order.status != "cancelled":
        raise Problem(
            409,
            f"already-{order.status}",
            "Too late to cancel",
            f"The order is already {order.status}.",
            advice="See the order for what happens next.",
            order_id=str(order.order_id),
        )
    return _order_answer(202, order, {"Retry-After": RETRY_AFTER_S})


@router.get("/ops/response-time", response_model=ResponseTime, responses=problems(401))
async def response_time(request: Request, caller: Who) -> ResponseTime:
    """Return how fast and how well orders were answered in the last 30 s, by this process alone.

    `reasons` says why the state is red: the average is above its threshold (`slow`), or the share
    of orders that ended in a 5xx is (`failing`). Requests that were refused, or that repeated an
    order which had ended before, count as `refused` only.
    """
    return state_of(request).response_times.read()


@router.get("/ops/summary", response_model=OperationsSummary, responses=problems(401, 403, 503))
async def operations_summary(request: Request) -> OperationsSummary:
    """Return how the order service as a whole is doing, for staff and the UI."""
    state = state_of(request)
    state.verifier.caller(request, "staff", "service")
    with database_limits():
        return await state.operations.summary()


async def _own(state: OrderApiState, text: str, caller: Caller) -> StoredOrder:
    """Return the caller's order; a 404 problem for anything else, without saying which."""
    try:
        order_id = UUID(text)
    except ValueError:
        raise _not_found() from None
    with database_limits():
        order = await state.store.order(order_id)
    if order is None or (order.customer != caller.subject and caller.role == "shopper"):
        raise _not_found()
    return order


def _not_found() -> Problem:
    return Problem(
        404,
        "no-such-order",
        "There is no such order",
        "You have no order under this id.",
        advice="GET /v1/orders lists your orders.",
    )


def _placed(order: StoredOrder) -> Response:
    location = {"Location": f"/v1/orders/{order.order_id}"}
    if order.status in TERMINAL and order.status != "shipped":
        raise Problem(
            409,
            order.reason if order.reason == OUT_OF_STOCK else order.status,
            "The order was not taken" if order.status == "rejected" else "The order has ended",
            message_for(order.status, order.reason, None, cancelling=False),
            advice="The order is kept as a record. To try again, use a new Idempotency-Key.",
            headers=location,
            order_id=str(order.order_id),
        )
    if order.status in ("reserved", "shipped"):
        return _order_answer(201, order, location)
    return _order_answer(202, order, {**location, "Retry-After": RETRY_AFTER_S})


def _order_answer(status: int, order: StoredOrder, headers: dict[str, str]) -> Response:
    return Response(
        order.to_response().model_dump_json(),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
