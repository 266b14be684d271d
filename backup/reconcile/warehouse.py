"""Calls of inventory_api under an order's key, asked again until the answer is known."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiohttp

from backup.errors import BackupProblem
from inventory_api.contracts import Line

REQUEST_WITHIN_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0


class WarehouseAway(BackupProblem):
    """The warehouse does not say what became of a call; everything before it is done and stays."""


class Warehouse:
    """inventory_api at `base_url`; `token` has the role `service`.

    Every call is idempotent, so that an unknown outcome is found out by asking again. Each returns
    the state that the warehouse vouches for, or the last part of the type of its refusal.
    """

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, token: str, patience_s: float
    ) -> None:
        self._session = session
        self._reservations = f"{base_url.rstrip('/')}/v1/reservations"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._patience_s = patience_s

    async def reserve(self, order_id: UUID, lines: Sequence[Line]) -> str:
        """Hold all lines or none: `held`, or `out-of-stock`, `released`, ….

        An order that was committed long ago is `held`, too: a copy gets the first answer.
        """
        body = json.dumps({"lines": [line.model_dump() for line in lines]})
        return await self._until_known("PUT", order_id, "", body)

    async def commit(self, order_id: UUID) -> str:
        """Ship what is held: `committed`, or `released`, `refused`, `unknown-reservation`."""
        return await self._until_known("POST", order_id, "/commit", None)

    async def release(self, order_id: UUID) -> str:
        """Give back what is held, or bar what is not: `released`, or `committed`."""
        return await self._until_known("POST", order_id, "/release", None)

    async def _until_known(self, method: str, order_id: UUID, path: str, body: str | None) -> str:
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            answer, trouble = await self._ask(method, order_id, path, body)
            if answer is not None:
                return answer
            if time.monotonic() + pause_s > deadline:
                raise WarehouseAway(
                    f"the warehouse did not say within {self._patience_s:g} s what became of "
                    f"{method} {order_id}{path}: {trouble}"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _ask(
        self, method: str, order_id: UUID, path: str, body: str | None
    ) -> tuple[str | None, str]:
        """Return the answer, or None and why there is none that can be believed."""
        try:
            async with (
                asyncio.timeout(REQUEST_WITHIN_S),
                self._session.request(
                    method,
                    f"{self._reservations}/{order_id}{path}",
                    data=body,
                    headers=self._headers,
                    allow_redirects=False,
                ) as response,
            ):
                content = await response.read()
        except TimeoutError:
            return None, f"no answer in {REQUEST_WITHIN_S:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return None, type(error).__name__
        if response.status in (401, 403):
            raise WarehouseAway(f"the warehouse does not take our token ({response.status})")
        return _believed(response.status, _members(content), order_id)


def _believed(status: int, answer: dict[str, Any], order_id: UUID) -> tuple[str | None, str]:
    """Return the state or the refusal, if the answer is definite and about this very order."""
    about_it = str(answer.get("order_id", "")) == str(order_id)
    if status == 200 and about_it and answer.get("state"):
        return str(answer["state"]), ""
    if about_it and (status in (404, 409, 422)):
        return str(answer.get("type", "")).rpartition("/")[2], ""
    if status in (400, 413, 422):
        return "unworkable", ""
    return None, f"answer {status} cannot be believed"


def _members(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
