"""Client of the legacy backup service: its clock, its count, and the one PUT that is a call.

httpx and not aiohttp: aiohttp sends a PUT a second time by itself when the connection breaks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from pydantic import ValidationError

from backup.capsule.manifest import SealedCapsule
from backup.legacy.elapsed import since_boot
from backup.legacy.outcomes import Ended, NotCalled
from backup.legacy.settings import LegacySettings
from legacy_service.contracts import DIGEST_HEADER, CallsOfDate, KeptCapsule, digest_header

Gate = Callable[[], Awaitable[None]]

CHUNK = 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024
# Between the gate and the first byte lies nothing but our own code. A machine that stood still in
# there for so long may have slept past midnight: what it was about to send is not sent any more.
FIRST_BYTE_WITHIN_S = 30.0
# Definite: the service has said that it keeps nothing of this call.
REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 411, 413, 415, 422, 429, 507})
# Of a look, and like all of 5xx: the service may do it another time.
ASK_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended, as far as its caller can tell."""

    state: Ended
    detail: str


class LegacyApi(Protocol):
    """What calls need of the service; `LegacyClient` is the real one."""

    async def now(self) -> datetime:
        """Return the service's time; raise NotCalled if it does not tell."""
        ...

    async def calls_on(self, day: date) -> int | None:
        """Return the service's own count of a date's calls, None if it does not tell.

        Raises NotCalled if it may tell when it is asked later.
        """
        ...

    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        """Connect, pass `gate`, and make the call.

        Whatever is raised before or by the gate is passed on, and nothing was sent then. From the
        gate on there is an answer, and nothing is ever sent again.
        """
        ...


class LegacyClient:
    """The service behind `settings.url`. Every call has a connection of its own."""

    def __init__(self, settings: LegacySettings, elapsed: Callable[[], float] = since_boot) -> None:
        self._settings = settings
        self._elapsed = elapsed
        self._url = settings.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"}

    async def now(self) -> datetime:
        """Return the service's time, from the header `Date` of any answer at all."""
        url = self._settings.clock_url or f"{self._url}/livez"
        answer = await self._look(url, {"Cache-Control": "no-cache"})
        try:
            told = parsedate_to_datetime(answer.headers["Date"])
        except (LookupError, ValueError):
            raise NotCalled("the service does not say what time it is") from None
        if "Age" in answer.headers or told.tzinfo is None:
            raise NotCalled("the service's time comes from somebody's cache, or has no zone")
        return told.astimezone(UTC)

    async def calls_on(self, day: date) -> int | None:
        """Return the service's own count of a date's calls; see `LegacyApi.calls_on`."""
        if not self._settings.tells_its_calls:
            return None
        answer = await self._look(f"{self._url}/v1/calls/{day.isoformat()}", self._headers)
        status = answer.status_code
        if status in ASK_LATER or status >= 500:
            # None would cost the date its call, for a service that is only starting
            raise NotCalled(f"the service does not say now what it has counted ({status})")
        if status != 200:
            return None
        try:
            told = CallsOfDate.model_validate_json(answer.content)
        except ValidationError:
            return None
        return told.calls if told.date == day else None

    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        """Make the call; see `LegacyApi.put`."""
        _refuse_missing(capsule)
        passed: list[float] = []

        async def before_the_first_byte(event: str, _: dict[str, Any]) -> None:
            if event == "http11.send_request_headers.started":
                began = self._elapsed()
                await gate()
                passed.append(self._elapsed())
                if passed[0] - began > FIRST_BYTE_WITHIN_S:
                    raise _StoodStill

        try:
            async with asyncio.timeout(self._settings.call_within_s):
                return await self._put(capsule, day, before_the_first_byte)
        except _StoodStill:
            return Answer("unknown", "claimed, and not sent: this machine stood still")
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            said = type(error).__name__
            if not passed:
                raise NotCalled(f"the service cannot be reached ({said})") from error
            return Answer("unknown", f"sent, and no answer that can be believed ({said})")

    async def _put(
        self, capsule: SealedCapsule, day: date, trace: Callable[..., Awaitable[None]]
    ) -> Answer:
        headers = {
            **self._headers,
            DIGEST_HEADER: digest_header(capsule.sha256),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(capsule.size_bytes),
        }
        async with (
            self._client() as client,
            client.stream(
                "PUT",
                f"{self._url}/v1/capsules/{day.isoformat()}",
                headers=headers,
                content=_content_of(capsule.path),
                extensions={"trace": trace},
            ) as response,
        ):
            return _believed(response.status_code, await _read_limited(response), capsule, day)

    async def _look(self, url: str, headers: dict[str, str]) -> httpx.Response:
        try:
            async with asyncio.timeout(self._settings.look_within_s), self._client() as client:
                return await client.get(url, headers=headers)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise NotCalled(f"the service cannot be reached ({type(error).__name__})") from error

    def _client(self) -> httpx.AsyncClient:
        # the whole has a deadline; a limit per read would only be stretched by a trickle
        limits = httpx.Timeout(None, connect=self._settings.connect_within_s)
        transport = httpx.AsyncHTTPTransport(retries=0)
        return httpx.AsyncClient(
            timeout=limits, transport=transport, trust_env=False, follow_redirects=False
        )


class _StoodStill(Exception):
    """Much time went by in the gate."""


def _refuse_missing(capsule: SealedCapsule) -> None:
    try:
        size = capsule.path.stat().st_size
    except OSError as error:
        raise NotCalled(f"the capsule is not there ({type(error).__name__})") from error
    if size != capsule.size_bytes:
        raise NotCalled(f"the capsule has {size} bytes, and was sealed with {capsule.size_bytes}")


async def _content_of(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


async def _read_limited(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            break
    return bytes(content)


def _believed(status: int, content: bytes, capsule: SealedCapsule, day: date) -> Answer:
    """Return what an answer means; a success has to name the date and the digest."""
    if status in REFUSALS:
        return Answer("refused", f"the service refused it with {status}")
    if status in (200, 201):
        try:
            kept = KeptCapsule.model_validate_json(content)
        except ValidationError:
            return Answer("unknown", f"answer {status} cannot be read")
        if (kept.date, kept.sha256, kept.size_bytes) == (day, capsule.sha256, capsule.size_bytes):
            return Answer("done", "")
        return Answer("unknown", f"answer {status} is about another capsule")
    return Answer("unknown", f"answer {status} says neither yes nor no")
