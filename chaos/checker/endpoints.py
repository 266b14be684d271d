"""Endpoints (I20): after the heal every one has to answer well, five times in a row."""

import time
from itertools import chain
from typing import Any
from uuid import uuid4

import aiohttp

from chaos.checker.check_result import Check, check
from chaos.checker.observations import EndpointAnswer, Observations
from chaos.target.target import Target
from deploy.local.services import INVENTORY

LAST_ANSWERS = 5
WELL_WITHIN_S = 60.0
# Whom the run itself orders as; not one of the planned customers.
PROBER = "prober"


class EndpointChecker:
    """Asks, and notes how each endpoint answered."""

    def __init__(self, session: aiohttp.ClientSession, target: Target) -> None:
        self.found: list[EndpointAnswer] = []
        self._session = session
        self._order = f"{target.to_orders.url}/v1"
        self._inventory = f"{target.system.url(INVENTORY)}/v1"
        self._shopper = {"Authorization": f"Bearer {target.token(PROBER)}"}
        self._staff = {"Authorization": f"Bearer {target.token(PROBER, 'staff')}"}

    async def once(self, bases: list[str]) -> None:
        """Ask every endpoint of both services, and the four of health at each of `bases`."""
        order, inventory, staff = self._order, self._inventory, self._staff
        levels = await self._ask("GET", f"{inventory}/stock", staff)
        shelf = max(levels["items"], key=lambda each: each["available"]) if levels else {}
        sku = str(shelf.get("sku", "MUG-BLUE"))
        lines = {"lines": [{"sku": sku, "quantity": 1}]}
        keyed = {"Idempotency-Key": f"probe-{uuid4()}"}
        placed = await self._ask("POST", f"{order}/orders", {**self._shopper, **keyed}, json=lines)
        mine = f"{order}/orders/{placed.get('order_id', uuid4())}"
        await self._ask("GET", mine, self._shopper, called="/v1/orders/{id}")
        await self._ask("GET", f"{mine}/events", self._shopper, called="/v1/orders/{id}/events")
        # Too late for a parcel that is on its way: a definite answer all the same.
        cancel = "/v1/orders/{id}/cancel"
        await self._ask("POST", f"{mine}/cancel", self._shopper, called=cancel, fine=409)
        await self._ask("GET", f"{order}/orders?limit=1", self._shopper)
        await self._ask("GET", f"{order}/products", self._shopper)
        await self._ask("GET", f"{order}/ops/response-time", self._shopper)
        await self._ask("GET", f"{order}/ops/summary", staff)
        await self._ask("GET", f"{inventory}/stock/{sku}", staff)
        await self._ask("GET", f"{inventory}/movements?limit=1", staff)
        for end in ("commit", "release"):
            held = f"{inventory}/reservations/{uuid4()}"
            called = "/v1/reservations/{id}"
            await self._ask("PUT", held, staff, called=called, json=lines)
            await self._ask("POST", f"{held}/{end}", staff, called=f"{called}/{end}")
            await self._ask("GET", held, staff, called=called)
        # What was taken here goes back on the shelf.
        restock = f"{inventory}/stock/{sku}/restock"
        await self._ask("POST", restock, {**staff, **keyed}, json={"quantity": 2})
        for base in bases:
            for path in ("/livez", "/readyz", "/health", "/metrics"):
                await self._ask("GET", f"{base}{path}", {})

    async def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        *,
        called: str | None = None,
        fine: int | None = None,
        json: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        path = "/" + url.partition("//")[2].partition("/")[2].partition("?")[0]
        name = f"{method} {called or path}"
        try:
            async with self._session.request(method, url, headers=headers, json=json) as response:
                status = 200 if response.status == fine else response.status
                self.found.append(EndpointAnswer(name, status))
                is_json = "json" in response.headers.get("Content-Type", "")
                body = await response.json(content_type=None) if is_json else {}
                return body if isinstance(body, dict) else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self.found.append(EndpointAnswer(name, None))
            return {}


async def check_endpoints(target: Target) -> list[EndpointAnswer]:
    """Return the last answers of every endpoint."""
    system = target.system
    bases = [target.to_orders.url, *(system.url(name) for name in system.services)]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
        # connections may have died with the last fault
        await EndpointChecker(session, target).once(bases)
        deadline = time.monotonic() + WELL_WITHIN_S
        last: list[list[EndpointAnswer]] = []
        # A machine that stands still for a moment is no illness: it is over with the next look.
        while len(last) < LAST_ANSWERS or (
            time.monotonic() < deadline and not all(each.is_good for each in chain(*last))
        ):
            checker = EndpointChecker(session, target)
            await checker.once(bases)
            last = [*last, checker.found][-LAST_ANSWERS:]
    return [*chain(*last)]


def well_again(observations: Observations) -> Check:
    """I20: the last answers of every endpoint after the heal are good."""
    return check(
        "I20",
        "Every endpoint answers well after the heal",
        len(observations.endpoint_answers),
        (
            f"{probe.endpoint} answered {probe.status}"
            for probe in observations.endpoint_answers
            if not probe.is_good
        ),
    )
