"""Activities that call inventory_api: one HTTP request each; Temporal does all the retrying."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from opentelemetry import propagate
from prometheus_client import Counter
from temporalio import activity

from activities import errors
from activities.contracts import StepCall, StepDone
from activities.references import WarehouseSteps
from inventory_api.contracts import OUT_OF_STOCK

MAX_ANSWER_BYTES = 64 * 1024

STEP_ATTEMPTS = Counter(
    "saga_step_attempts",
    "Requests to the warehouse, first ones and retries.",
    ["operation", "retry"],
)


@dataclass(frozen=True, slots=True)
class HttpTimeouts:
    """How long one request may take in all, in seconds: on the fast path and on the durable one."""

    fast_s: float
    durable_s: float


class InventoryActivities(WarehouseSteps):
    """Reserve, commit and release at the warehouse behind `base_url`.

    Answers are believed only if status, shape and order id all fit; anything else leaves the
    outcome unknown, which is safe because every call is idempotent under the order's id.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        token: str,
        timeouts: HttpTimeouts,
    ) -> None:
        self._session = session
        self._reservations = f"{base_url.rstrip('/')}/v1/reservations"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        self._timeouts = timeouts

    @activity.defn(name="reserve")
    async def reserve(self, step: StepCall) -> StepDone:
        """Hold all lines of the order, or none (OutOfStock)."""
        body = json.dumps({"lines": [line.model_dump() for line in step.lines]})
        return await self._call("PUT", "", body, step, "reserve", "held")

    @activity.defn(name="commit")
    async def commit(self, step: StepCall) -> StepDone:
        """Ship what the order holds (AlreadyReleased if it was given up)."""
        return await self._call("POST", "/commit", None, step, "commit", "committed")

    @activity.defn(name="release")
    async def release(self, step: StepCall) -> StepDone:
        """Give up the order's hold, or bar one that is still on its way (AlreadyCommitted)."""
        return await self._call("POST", "/release", None, step, "release", "released")

    async def _call(
        self,
        method: str,
        path: str,
        body: str | None,
        step: StepCall,
        operation: str,
        expected: str,
    ) -> StepDone:
        info = activity.info()
        attempt = step.attempt(info.attempt)
        STEP_ATTEMPTS.labels(operation, str(attempt > 1).lower()).inc()
        headers = {**self._headers, "X-Attempt": str(attempt)}
        propagate.inject(headers)
        url = f"{self._reservations}/{step.order_id}{path}"
        seconds = self._timeouts.fast_s if info.is_local else self._timeouts.durable_s
        try:
            # A deadline for everything, not per read: a trickle of bytes must not outlast it.
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    method, url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                content = await _read_limited(response)
        except TimeoutError:
            raise errors.unknown_outcome(f"no answer to {operation} in {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # the type only: the text may repeat headers and addresses
            raise errors.unknown_outcome(f"{operation}: {type(error).__name__}") from None
        state = _verdict(response.status, response.headers, content, step, operation, expected)
        return StepDone(state=state, at=datetime.now(UTC), attempt=attempt)


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError("compressed answer")  # we did not ask for one; it may be a bomb
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError("answer too large")
    return bytes(content)


_REFUSALS = {
    OUT_OF_STOCK: errors.OUT_OF_STOCK,
    "released": errors.ALREADY_RELEASED,
    "committed": errors.ALREADY_COMMITTED,
}


def _verdict(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    step: StepCall,
    operation: str,
    expected: str,
) -> str:
    """Return the state the warehouse vouches for, or raise the failure that its answer means."""
    answer = _object(content)
    about_this_order = str(answer.get("order_id", "")) == str(step.order_id)
    if status == 200 and about_this_order and answer.get("state") == expected:
        return expected
    slug = _text(answer.get("type"), 200).rpartition("/")[2]
    if status == 409 and about_this_order:
        kind = _REFUSALS.get(slug, errors.UNWORKABLE)
        raise errors.refusal(kind, _text(answer.get("detail"), 500) or slug)
    if status in (400, 413, 422) or (status == 404 and slug == "unknown-reservation"):
        raise errors.unworkable(f"{operation} was refused with {status} {slug}")
    raise errors.unknown_outcome(
        f"{operation}: answer {status} cannot be believed", _seconds(headers.get("Retry-After"))
    )


def _text(value: object, limit: int) -> str:
    """Return what can be kept: histories take no lone surrogates, and Postgres takes no NUL."""
    return "".join(c if c.isprintable() else " " for c in str(value or "")[:limit])


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
