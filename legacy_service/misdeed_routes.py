"""Routes by which staff make the service misbehave; only where fault injection is on."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from legacy_service.contracts import Misbehaviour
from legacy_service.state import state_of
from service_kit.http.openapi import body_of, problems
from service_kit.http.strict_json import read
from service_kit.http.tokens import Caller

router = APIRouter(prefix="/v1/admin/misbehaviour", tags=["faults"])


async def staff(request: Request) -> Caller:
    """Let staff in."""
    return state_of(request).verifier.caller(request, "staff")


Staff = Annotated[Caller, Depends(staff)]


@router.get("", response_model=Misbehaviour | None, responses=problems(401, 403))
async def planned(request: Request, caller: Staff) -> Misbehaviour | None:
    """Return what is still to be done wrong, null if nothing is."""
    return state_of(request).misdeeds.planned


@router.put(
    "",
    response_model=Misbehaviour,
    openapi_extra=body_of(Misbehaviour),
    responses=problems(400, 401, 403, 413, 415, 422),
)
async def misbehave(request: Request, caller: Staff) -> Misbehaviour:
    """Do this at the next calls that are accepted."""
    misbehaviour = await read(request, Misbehaviour)
    state_of(request).misdeeds.plan(misbehaviour)
    return misbehaviour


@router.delete("", status_code=204, responses=problems(401, 403))
async def behave(request: Request, caller: Staff) -> Response:
    """Behave well again."""
    state_of(request).misdeeds.plan(None)
    return Response(status_code=204)
