"""Route that kills its process: SIGKILL, as the kernel's out-of-memory killer would."""

import asyncio
import os
import signal

from fastapi import APIRouter, Request, Response

from service_kit.http.openapi import problems
from service_kit.http.tokens import TokenVerifier
from service_kit.observability import logs

# Enough for the answer to leave; whoever asked wants to know that it was heard.
EXIT_DELAY_S = 0.05

_log = logs.get(__name__)


def crash_router(verifier: TokenVerifier) -> APIRouter:
    """Return the route with which staff, known by their token, end the process that serves it."""
    router = APIRouter(prefix="/v1/admin", tags=["faults"])

    @router.post("/crash", status_code=202, responses=problems(401, 403))
    async def crash(request: Request) -> Response:
        """Kill this process; whatever supervises it starts another."""
        caller = verifier.caller(request, "staff")
        _log.warning("killed on request", by=caller.subject)
        loop = asyncio.get_running_loop()
        loop.call_later(EXIT_DELAY_S, os.kill, os.getpid(), signal.SIGKILL)
        return Response(status_code=202)

    return router
