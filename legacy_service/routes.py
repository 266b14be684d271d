"""HTTP routes of legacy_service: one PUT for each UTC date, and what it keeps."""

from datetime import UTC, date
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse

from legacy_service import refusals
from legacy_service.capsule_files import WrongDigest
from legacy_service.contracts import (
    DIGEST_HEADER,
    CallsOfDate,
    KeptCapsule,
    KeptCapsules,
    digest_header,
    sha256_in,
)
from legacy_service.metrics import CALLS
from legacy_service.misdeeds import answer_under, storage_under
from legacy_service.state import LegacyServiceState, state_of
from service_kit.http.answer_instead import AnswerInstead
from service_kit.http.openapi import problems
from service_kit.http.problems import Problem
from service_kit.http.tokens import Caller

router = APIRouter(prefix="/v1", tags=["legacy backup"])
UPLOADS = "/v1/capsules/"


async def member(request: Request) -> Caller:
    """Let staff and services in, nobody else. Async, or FastAPI would hand it to a thread."""
    return state_of(request).verifier.caller(request, "staff", "service")


Member = Annotated[Caller, Depends(member)]


@router.put(
    "/capsules/{day}",
    status_code=201,
    response_model=KeptCapsule,
    responses=problems(401, 403, 409, 413, 415, 422, 429, 507),
)
async def keep(request: Request, day: date, caller: Member) -> Response:
    """Keep the capsule in the body: the one call of this UTC date, whatever becomes of it.

    The date is the service's. It counts the call before it looks at it, so a call that is refused
    or breaks off is that day's call all the same.
    """
    state = state_of(request)
    now = state.clock().astimezone(UTC)
    number = await state.calls.count(now.date(), now, day)
    if number > 1:
        raise _counted("second", refusals.one_call_a_day(now))
    if day != now.date():
        raise _counted("other_date", refusals.other_date(now.date()))
    sha256 = sha256_in(request.headers.get(DIGEST_HEADER, ""))
    if sha256 is None:
        raise _counted("bad_digest", refusals.no_digest())
    return await _keep(state, request, day, sha256)


async def _keep(state: LegacyServiceState, request: Request, day: date, sha256: str) -> Response:
    misdeed = state.misdeeds.take()
    if misdeed == "cut_early":
        CALLS.labels("broken_off").inc()
        raise AnswerInstead(None)
    try:
        kept = await state.files.keep(
            day, request.stream(), sha256, state.clock().astimezone(UTC), storage_under(misdeed)
        )
    except WrongDigest:
        raise _counted("bad_digest", refusals.wrong_digest()) from None
    except (ClientDisconnect, Problem):
        CALLS.labels("broken_off").inc()
        raise
    except OSError:
        raise _counted("no_room", refusals.no_room()) from None
    CALLS.labels("kept").inc()
    return await answer_under(misdeed, request, kept)


@router.get("/capsules", response_model=KeptCapsules, responses=problems(401, 403))
async def kept_capsules(request: Request, caller: Member) -> KeptCapsules:
    """Return what is kept."""
    return KeptCapsules(items=await state_of(request).files.all())


@router.get(
    "/capsules/{day}",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The capsule"},
        206: {"content": {"application/octet-stream": {}}, "description": "A part of it"},
        416: {"content": {"text/plain": {}}, "description": "It has no such part"},
        **problems(401, 403, 404, 422),
    },
)
async def capsule(request: Request, day: date, caller: Member) -> Response:
    """Return the capsule of a date, with the digest that it came with."""
    state = state_of(request)
    kept = await state.files.find(day)
    if kept is None:
        raise refusals.not_kept(day)
    return FileResponse(
        state.files.path(day),
        media_type="application/octet-stream",
        headers={DIGEST_HEADER: digest_header(kept.sha256)},
    )


@router.get("/calls/{day}", response_model=CallsOfDate, responses=problems(401, 403, 422))
async def calls(request: Request, day: date, caller: Member) -> CallsOfDate:
    """Return how many calls came on a date, refused ones included."""
    return CallsOfDate(date=day, calls=await state_of(request).calls.calls(day))


def _counted(answer: str, problem: Problem) -> Problem:
    CALLS.labels(answer).inc()
    return problem
