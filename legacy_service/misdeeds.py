"""Misdeeds that the service was told to commit, and how each is done."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from legacy_service.capsule_files import Storage
from legacy_service.contracts import KeptCapsule, Misbehaviour, Misdeed
from service_kit.http.answer_instead import AnswerInstead
from service_kit.http.problems import internal_error

LOOK_FOR_THE_CLIENT_S = 0.1
TRICKLE_S = 1.0


class Misdeeds:
    """What is still to be done wrong; nothing, until somebody asks for it."""

    def __init__(self) -> None:
        self._misbehaviour: Misbehaviour | None = None

    @property
    def planned(self) -> Misbehaviour | None:
        """Return what is still to come."""
        return self._misbehaviour

    def plan(self, misbehaviour: Misbehaviour | None) -> None:
        """Do this at the next calls that are accepted; None behaves well again."""
        self._misbehaviour = misbehaviour

    def take(self) -> Misdeed | None:
        """Return the misdeed for a call that is being accepted."""
        planned = self._misbehaviour
        if planned is None:
            return None
        left = planned.times - 1
        self._misbehaviour = planned.model_copy(update={"times": left}) if left else None
        return planned.misdeed


_STORAGE: Mapping[Misdeed, Storage] = {"lost": "lost", "truncated": "truncated"}


def storage_under(misdeed: Misdeed | None) -> Storage:
    """Return how a capsule is kept."""
    return "whole" if misdeed is None else _STORAGE.get(misdeed, "whole")


async def answer_under(misdeed: Misdeed | None, request: Request, kept: KeptCapsule) -> Response:
    """Return the answer for a capsule that was kept, as it should be or as it was told."""
    content = kept.model_dump_json()
    if misdeed == "error":
        raise internal_error()
    if misdeed == "silence":
        while not await request.is_disconnected():  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(LOOK_FOR_THE_CLIENT_S)
    if misdeed in ("silence", "cut"):
        raise AnswerInstead(None)
    if misdeed == "trickle":
        return StreamingResponse(_drop_by_drop(content), 201, media_type="application/json")
    return Response(content, 201, media_type="application/json")


async def _drop_by_drop(content: str) -> AsyncIterator[str]:
    for drop in content:
        await asyncio.sleep(TRICKLE_S)
        yield drop
