"""HTTP calls on behalf of somebody, each with a deadline, and what can come of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from opentelemetry import propagate
from pydantic import BaseModel, ValidationError

from order_api.client_rules import members_of
from service_kit.http.client_session import open_session
from ui.identity import Identity, Tokens

REQUEST_TIMEOUT_S = 2.0

Model = TypeVar("Model", bound=BaseModel)


class NoAnswer(Exception):
    """The service did not answer, or not in time: what became of the call is unknown."""


@dataclass(eq=False)  # not frozen: Python notes on an exception where it came from
class Refusal(Exception):
    """A problem document: the service understood and said no."""

    status: int
    slug: str
    title: str
    detail: str
    advice: str
    members: Mapping[str, Any]
    retry_after_s: float | None = None

    @property
    def order_id(self) -> str | None:
        """The order that the problem is about."""
        found = self.members.get("order_id")
        return str(found) if found else None


class Http:
    """One connection pool and one way of asking."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the pool; to be called inside the event loop that will use it."""
        self._session = open_session()

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open pool."""
        assert self._session is not None, "used before the application has started"
        return self._session

    def headers(self, who: Identity, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return identity, trace context and whatever else."""
        headers = {**self._tokens.header(who), **(extra or {})}
        propagate.inject(headers)
        return headers

    async def ask(
        self,
        method: str,
        url: str,
        who: Identity,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        within_s: float = REQUEST_TIMEOUT_S,
    ) -> bytes:
        """Return the answer's body; raise Refusal for a problem, NoAnswer for anything worse."""
        known = [
            (name, str(each))
            for name, value in (params or {}).items()
            if value is not None
            for each in (value if isinstance(value, list) else [value])
        ]
        try:
            async with (
                asyncio.timeout(within_s),
                self.session.request(
                    method,
                    url,
                    json=body,
                    params=known,
                    headers=self.headers(who, headers),
                    allow_redirects=False,
                ) as answer,
            ):
                content = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from None
        if answer.status >= 400:
            raise refusal(answer.status, answer.headers, content)
        return content


def read(model: type[Model], content: bytes) -> Model:
    """Return what a body says; NoAnswer if it is none of these."""
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise NoAnswer(f"not a {model.__name__}") from None


def refusal(status: int, headers: Mapping[str, str], content: bytes) -> Refusal:
    """Return what an error's body says."""
    members = members_of(content)
    wait = headers.get("Retry-After", "")
    return Refusal(
        status=status,
        slug=str(members.get("type", "")).rpartition("/")[2],
        title=str(members.get("title", "The service could not do that")),
        detail=str(members.get("detail", f"It answered with status {status}.")),
        advice=str(members.get("advice", "Try again in a moment.")),
        members=members,
        retry_after_s=float(wait) if wait.isascii() and wait.isdigit() else None,
    )
