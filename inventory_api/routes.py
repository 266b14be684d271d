"""HTTP routes of inventory_api; every call is idempotent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from inventory_api import refusals
from inventory_api.contracts import (
    Ledger,
    Operation,
    Reservation,
    ReservationAnswer,
    ReserveRequest,
    RestockRequest,
    Sku,
    StockLevel,
    StockLevels,
)
from inventory_api.metrics import EFFECTS
from inventory_api.state import state_of
from inventory_api.verdicts import OtherLines, Verdict
from service_kit.http.idempotency_key import read as read_idempotency_key
from service_kit.http.idempotency_key import read_quoted as read_quoted_key
from service_kit.http.openapi import body_of, problems
from service_kit.http.paging import PageSize, SearchText, SkuCursor, Skus, contains
from service_kit.http.problems import Problem, unavailable, unprocessable
from service_kit.http.strict_json import read
from service_kit.http.tokens import Caller
from service_kit.postgres.pool import POSTGRES_UNAVAILABLE, is_refusal

router = APIRouter(prefix="/v1", tags=["inventory"])

# Two writers of one key that lost to each other twice in a row are told to come again, too.
BUSY: tuple[type[Exception], ...] = (
    *POSTGRES_UNAVAILABLE,
    asyncpg.IntegrityConstraintViolationError,
)


async def member(request: Request) -> Caller:
    """Let staff and services in, nobody else. Async, or FastAPI would hand it to a thread."""
    return state_of(request).verifier.caller(request, "staff", "service")


async def staff(request: Request) -> Caller:
    """Let staff in."""
    return state_of(request).verifier.caller(request, "staff")


@contextmanager
def database_limits() -> Iterator[None]:
    """Turn what a struggling database raises into a quick 503."""
    try:
        yield
    except BUSY as error:
        how = "does not take this right now" if is_refusal(error) else "did not answer in time"
        raise unavailable("warehouse-busy", f"The warehouse's database {how}.") from None


@router.put(
    "/reservations/{order_id}",
    response_model=ReservationAnswer,
    openapi_extra=body_of(ReserveRequest),
    responses=problems(400, 401, 403, 409, 413, 415, 422, 503),
)
async def reserve(
    request: Request,
    order_id: UUID,
    caller: Annotated[Caller, Depends(member)],
) -> Response:
    """Hold all lines for the order, or none."""
    state = state_of(request)
    body = await read(request, ReserveRequest)
    with database_limits():
        try:
            verdict = await state.reservations.reserve(order_id, body.lines)
        except OtherLines:
            raise unprocessable(
                "The order was reserved before with other lines.", order_id=str(order_id)
            ) from None
    if verdict.state == "refused":
        problem: Problem | None = refusals.out_of_stock(order_id, verdict)
    elif verdict.state == "released":
        problem = refusals.conflict(
            "released", order_id, "The order was released; nothing is held."
        )
    else:
        problem = None
    # A copy of a reserve gets the first answer, even if the order has been committed since.
    return _answer("reserve", order_id, verdict, "held", problem)


@router.post(
    "/reservations/{order_id}/commit",
    response_model=ReservationAnswer,
    responses=problems(401, 403, 404, 409, 422, 503),
)
async def commit(
    request: Request,
    order_id: UUID,
    caller: Annotated[Caller, Depends(member)],
) -> Response:
    """Ship: what the order holds leaves the shelf."""
    state = state_of(request)
    with database_limits():
        verdict = await state.reservations.commit(order_id)
    problem = None
    if verdict.state is None:
        problem = refusals.unknown(order_id)
    elif verdict.state != "committed":
        problem = refusals.conflict(
            verdict.state, order_id, f"The order is {verdict.state}; there is nothing to commit."
        )
    return _answer("commit", order_id, verdict, "committed", problem)


@router.post(
    "/reservations/{order_id}/release",
    response_model=ReservationAnswer,
    responses=problems(401, 403, 409, 422, 503),
)
async def release(
    request: Request,
    order_id: UUID,
    caller: Annotated[Caller, Depends(member)],
) -> Response:
    """Undo a hold; for an unknown order, make sure that none can follow."""
    state = state_of(request)
    with database_limits():
        verdict = await state.reservations.release(order_id)
    problem = None
    if verdict.state == "committed":
        problem = refusals.conflict(
            "committed", order_id, "The order has shipped; its stock is gone."
        )
    # A refused order holds nothing, which is all that a release asks for.
    return _answer("release", order_id, verdict, "released", problem)


@router.get(
    "/reservations/{order_id}",
    response_model=Reservation,
    responses=problems(401, 403, 404, 422, 503),
)
async def reservation(
    request: Request, order_id: UUID, caller: Annotated[Caller, Depends(member)]
) -> Reservation:
    """Return the order's state and movements."""
    with database_limits():
        found = await state_of(request).stock.reservation(order_id)
    if found is None:
        raise refusals.unknown(order_id)
    return found


@router.get("/stock", response_model=StockLevels, responses=problems(401, 403, 422, 503))
async def stock_levels(
    request: Request,
    caller: Annotated[Caller, Depends(member)],
    limit: PageSize = 100,
    cursor: SkuCursor = None,
    search: SearchText = None,
    sku: Skus = None,
) -> StockLevels:
    """Return levels by SKU, page by page.

    `search` is a part of a SKU; `sku`, once or more often, asks for these alone.
    """
    like = contains(search) if search else None
    with database_limits():
        found = await state_of(request).stock.levels(limit + 1, cursor, sku, like)
    page, more = found[:limit], len(found) > limit
    return StockLevels(items=page, next_cursor=page[-1].sku if more else None)


SkuPath = Annotated[str, Path(max_length=64)]


@router.get("/stock/{sku}", response_model=StockLevel, responses=problems(401, 403, 404, 422, 503))
async def stock_level(
    request: Request, sku: SkuPath, caller: Annotated[Caller, Depends(member)]
) -> StockLevel:
    """Return the level of one SKU."""
    _refuse_nul(sku)
    with database_limits():
        level = await state_of(request).stock.level(sku)
    if level is None:
        raise refusals.no_such_sku()
    return level


@router.post(
    "/stock/{sku}/restock",
    response_model=StockLevel,
    openapi_extra=body_of(RestockRequest, idempotency_key=True),
    responses=problems(400, 401, 403, 404, 413, 415, 422, 503),
)
async def restock(
    request: Request, response: Response, sku: SkuPath, caller: Annotated[Caller, Depends(staff)]
) -> StockLevel:
    """Add pieces to a SKU, once per Idempotency-Key; a copy gets the level of the first time."""
    _refuse_nul(sku)
    key = read_idempotency_key(request)
    body = await read(request, RestockRequest)
    with database_limits():
        stock = state_of(request).stock
        quoted = read_quoted_key(request)
        if quoted is not None and await stock.knows_restock(quoted):  # by the first release
            key = quoted
        restocked = await stock.restock(sku, key, body.quantity)
    if restocked.level is None:
        raise refusals.no_such_sku()
    if restocked.conflict:
        raise unprocessable("This Idempotency-Key was used for another SKU or quantity.")
    if restocked.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    EFFECTS.labels("restock", str(restocked.replayed).lower()).inc()
    return restocked.level


@router.get("/movements", response_model=Ledger, responses=problems(401, 403, 422, 503))
async def movements(
    request: Request,
    caller: Annotated[Caller, Depends(member)],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,18}$")] = None,
    sku: Annotated[Sku | None, Query(max_length=64)] = None,
    operation: Operation | None = None,
) -> Ledger:
    """Return the ledger, newest first, page by page."""
    before = int(cursor) if cursor is not None else None
    with database_limits():
        found = await state_of(request).stock.movements(limit + 1, before, sku, operation)
    page, more = found[:limit], len(found) > limit
    return Ledger(items=page, next_cursor=str(page[-1].movement_id) if more else None)


def _answer(
    operation: str, order_id: UUID, verdict: Verdict, answer: str, problem: Problem | None
) -> Response:
    """Count the verdict and answer."""
    EFFECTS.labels(operation, str(verdict.replayed).lower()).inc()
    replayed = {"Idempotent-Replayed": "true"} if verdict.replayed else {}
    if problem is not None:
        problem.headers.update(replayed)
        raise problem
    return Response(
        f'{{"order_id":"{order_id}","state":"{answer}"}}',
        media_type="application/json",
        headers=replayed,
    )


def _refuse_nul(sku: str) -> None:
    if "\x00" in sku:  # Postgres has no text with NUL in it
        raise refusals.no_such_sku()
