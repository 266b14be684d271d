"""Errors as `application/problem+json` (RFC 9457): one class, one body shape, one handler."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from service_kit.observability.request_context import request_id

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A refusal that a client can read and act on.

    `slug` ends the problem's `type`; `advice` says what the caller can do next. Extra keyword
    arguments become members of the body (`order_id`, `lines`, …) and must be JSON values.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        advice: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{status} {slug}: {detail}")
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.advice = advice
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> Response:
        """Return the HTTP answer; the request id is that of the request being served."""
        body = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "advice": self.advice,
            "request_id": request_id.get(),
            **self.members,
        }
        return Response(
            json.dumps(body),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )


def unprocessable(detail: str, **members: Any) -> Problem:
    """Return the 422 for a request that was understood and cannot be meant."""
    return Problem(
        422,
        "invalid-request",
        "The request is not valid",
        detail,
        advice="This request stored nothing. Correct the request and send it again.",
        **members,
    )


def conflict(slug: str, title: str, detail: str, *, advice: str, **members: Any) -> Problem:
    """Return the 409 for a request that does not fit how things stand."""
    return Problem(409, slug, title, detail, advice=advice, **members)


def unavailable(
    slug: str,
    detail: str,
    *,
    title: str = "Not available right now",
    advice: str = "Send the same request again after the time in Retry-After.",
    **members: Any,
) -> Problem:
    """Return the 503 for work that may not have been done and may be sent again."""
    return Problem(
        503,
        slug,
        title,
        detail,
        advice=advice,
        headers={"Retry-After": "1"},
        **members,
    )


def internal_error() -> Problem:
    """Return the 500 for a fault of ours; the reason is in the log under the request id."""
    return Problem(
        500,
        "internal-error",
        "Something went wrong on our side",
        "The request failed before it was finished.",
        advice="Send the same request again; quote the request id if it keeps failing.",
    )


def from_validation(error: RequestValidationError) -> Problem:
    """Return the 422 for parameters that FastAPI refused, without echoing what was sent."""
    errors = [
        {"at": ".".join(str(part) for part in item["loc"]), "problem": item["msg"]}
        for item in error.errors()
    ]
    return unprocessable("Some parameters are not valid.", errors=errors)


_HTTP = {
    400: ("bad-request", "The request could not be read", "Check the request's syntax."),
    404: ("not-found", "Not found", "Check the address."),
    405: ("method-not-allowed", "This address does not do that", "See the Allow header."),
}


def from_http(error: HTTPException) -> Problem:
    """Return the problem for what the framework itself refuses (404, 405, …)."""
    slug, title, advice = _HTTP.get(
        error.status_code, ("refused", "The request was refused", "See the status.")
    )
    return Problem(
        error.status_code,
        slug,
        title,
        f"{title}.",
        advice=advice,
        headers=dict(error.headers or {}),
    )


def _methods_at(request: Request) -> list[str]:
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return from_validation(error).response()

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = from_http(error)
        if problem.status == 405:
            # the framework names the methods of one route, and an address may have several
            problem.headers = {"Allow": ", ".join(_methods_at(request))}
        return problem.response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
