"""A stand-in for the backup process, for those who only ask it how the trail stands."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from service_kit.http.tokens import TokenVerifier
from tests.support.serving import serve
from tests.support.trail_answers import trail


@dataclass
class BackupProcess:
    """Gives `answer` with `status`; holds it back while `lets_go` is not set."""

    url: str = ""
    answer: dict[str, Any] = field(default_factory=trail)
    status: int = 200
    lets_go: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve_backup_process(verifier: TokenVerifier | None = None) -> Iterator[BackupProcess]:
    """Serve one that answers; to staff alone, if it can tell who that is."""
    process, app = BackupProcess(), FastAPI()
    process.lets_go.set()

    @app.get("/v1/trail")
    def tell(request: Request) -> JSONResponse:
        if verifier is not None:
            verifier.caller(request, "staff")
        process.lets_go.wait(30)
        return JSONResponse(process.answer, process.status)

    with serve(app) as served:
        process.url = served.url
        yield process
        process.lets_go.set()
