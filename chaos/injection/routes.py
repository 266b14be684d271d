"""Routes that change fault rules; only in processes with fault injection on."""

from typing import Annotated, Any, get_args
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from chaos.injection.injector import Injector
from chaos.injection.presets import presets_of
from chaos.injection.rules import FaultRule, Operation, predict
from service_kit.http.openapi import body_of, problems
from service_kit.http.problems import Problem, unprocessable
from service_kit.http.strict_json import read
from service_kit.http.tokens import Caller

router = APIRouter(prefix="/v1/admin/faults", tags=["faults"])


def staff(request: Request) -> Caller:
    """Let staff in."""
    caller: Caller = request.app.state.service.verifier.caller(request, "staff")
    return caller


def injector_of(request: Request) -> Injector:
    """Return the injector of the process that serves `request`."""
    injector = request.app.state.injector
    assert isinstance(injector, Injector)
    return injector


def add(app: FastAPI, injector: Injector) -> None:
    """Give `app` these calls; they switch the rules of `injector`."""
    app.state.injector = injector
    app.include_router(router)


Staff = Annotated[Caller, Depends(staff)]
FromApp = Annotated[Injector, Depends(injector_of)]


@router.get("", responses=problems(401, 403))
async def rules(caller: Staff, injector: FromApp) -> dict[str, Any]:
    """Return the rules in force."""
    await injector.reload()
    return {"items": [rule.model_dump(mode="json") for rule in injector.rules]}


@router.get("/presets", responses=problems(401, 403))
async def presets(caller: Staff, injector: FromApp) -> dict[str, Any]:
    """Return the rules that are worth trying, each with a title and what it does."""
    return {"items": [preset.model_dump(mode="json") for preset in presets_of(injector.owner)]}


class WhichOrders(BaseModel):
    """Orders that exist or are going to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_ids: tuple[UUID, ...] = Field(min_length=1, max_length=500)


@router.post(
    "/predict",
    openapi_extra=body_of(WhichOrders),
    responses=problems(400, 401, 403, 413, 415, 422),
)
async def prediction(request: Request, caller: Staff, injector: FromApp) -> dict[str, Any]:
    """Return which of the orders the rules in force will hit, and how."""
    which = await read(request, WhichOrders)
    hits = predict(injector.rules, which.order_ids, get_args(Operation))
    return {
        "items": [
            {
                "order_id": str(order_id),
                "operation": operation,
                "attempt": attempt,
                "rule": rule.name,
                "fault": rule.fault,
                "delay_s": rule.delay_s,
            }
            for order_id, operation, attempt, rule in hits
        ]
    }


@router.put(
    "/{name}", openapi_extra=body_of(FaultRule), responses=problems(400, 401, 403, 413, 415, 422)
)
async def put(request: Request, name: str, caller: Staff, injector: FromApp) -> FaultRule:
    """Switch a rule on; in force here at once and in other replicas within a second."""
    rule = await read(request, FaultRule)
    if rule.name != name:
        raise unprocessable("The rule's name is not the one in the address.")
    is_inventory = rule.point.startswith("inventory.")
    if is_inventory != (injector.owner == "inventory"):
        raise unprocessable(f"{rule.point} is not a point of this service.")
    await injector.put(rule)
    return rule


@router.delete("/{name}", status_code=204, responses=problems(401, 403, 404))
async def remove(name: str, caller: Staff, injector: FromApp) -> Response:
    """Switch a rule off."""
    if "\x00" in name or not await injector.remove(name):
        raise Problem(
            404,
            "unknown-rule",
            "There is no such rule",
            "No rule of this name is in force.",
            advice="GET /v1/admin/faults lists the rules.",
        )
    return Response(status_code=204)


@router.get("/log", responses=problems(401, 403, 422))
async def log(
    caller: Staff,
    injector: FromApp,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> dict[str, Any]:
    """Return what has fired, oldest first."""
    return {"items": await injector.evidence(after, limit)}
