"""Load: an open stream of shoppers from outside, each seen through to the end of the order.

Orders are sent when the plan says, however the system feels (open model), and latencies count
from that moment, so a slow system cannot hide its slowness by being sent less. Only what the
machine withholds from this very process makes everybody come later.
"""

import asyncio
import functools
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import aiohttp

from activities.contracts import TERMINAL
from chaos.client.answers import Answer, problem_of, read
from chaos.client.history import Entry, History, Operation, kind_of
from chaos.client.pacing import arrivals, no_delay
from chaos.scenarios.workload import PlannedOrder
from order_api.client_rules import is_definite
from service_kit.process.waiting import is_set_within

CLIENT_PATIENCE_S = 5.0  # beyond the answer budget, as every caller's patience is
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
LOOK_FIRST_S = 0.5
LOOK_LONGEST_S = 5.0
VAIN_LOOKS = 60
# The number of a sending long after an order's end: beyond any retry of the run.
RESEND_TRY = 1_000


@dataclass(slots=True)
class LoadCounts:
    """What the terminal shows while the run goes on."""

    planned: int = 0
    sent: int = 0
    acknowledged: int = 0
    settled: int = 0
    slow: int = 0
    unknown: int = 0
    given_up: int = 0
    worst_lag_s: float = 0.0
    states: dict[str, int] = field(default_factory=dict)


class Shoppers:
    """Sends planned orders to `base_url` and follows each until the shopper knows its end.

    `token_of` gives a customer's token. `until_settled` False lets shoppers leave with their
    first answer. Until an answer is definite, the order is sent again with its key, for as long as
    the shop is open: how many tries that takes is the machine's pace, not the system's promise.
    """

    def __init__(
        self,
        base_url: str,
        token_of: Callable[[str], str],
        history: History,
        *,
        until_settled: bool = True,
    ) -> None:
        self.counts = LoadCounts()
        self.last_sent_at = 0.0
        self._url = f"{base_url}/v1/orders"
        self._token = functools.cache(token_of)
        self._history = history
        self._until_settled = until_settled
        self._session: aiohttp.ClientSession | None = None
        self._leave = asyncio.Event()
        self._shopping: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Shoppers":
        """Open the shop's door."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=False),
            timeout=aiohttp.ClientTimeout(total=CLIENT_PATIENCE_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        assert self._session is not None
        for task in self._shopping:
            task.cancel()
        await asyncio.gather(*self._shopping, return_exceptions=True)
        await self._session.close()

    async def send(
        self,
        orders: Sequence[PlannedOrder],
        settle_within_s: float,
        late_s: Callable[[], float] = no_delay,
    ) -> None:
        """Send `orders` at their times; returns when each has ended, or `settle_within_s` later.

        `late_s` says by how many seconds everybody comes later than planned; it only grows.
        """
        self.counts.planned += len(orders)
        self._leave.clear()
        shopping = self._shopping
        shopping.clear()
        coming = ((order.at_s, order) for order in orders)
        async for order, intended in arrivals(coming, late_s):
            self.counts.worst_lag_s = max(self.counts.worst_lag_s, time.monotonic() - intended)
            self.last_sent_at = time.monotonic()
            shopping.add(asyncio.create_task(self._shop(order, intended)))
        if shopping:
            _, waiting = await asyncio.wait(shopping, timeout=settle_within_s)
            self._leave.set()
            await asyncio.gather(*shopping)
            self.counts.given_up += len(waiting)

    async def _shop(self, order: PlannedOrder, intended: float) -> None:
        self.counts.sent += 1
        clicks = [
            asyncio.create_task(self._place(order, intended, click))
            for click in range(1, order.clicks + 1)
        ]
        answers = await asyncio.gather(*clicks)
        state = next((state for state in answers if state is not None), None)
        if state is None:
            self.counts.given_up += 1
            return
        self.counts.acknowledged += 1
        if order.cancels and state not in TERMINAL:
            await self._wait_in_vain(order)
            await self._cancel(order)
        if self._until_settled and state not in TERMINAL:
            self.counts.slow += 1
            state = await self._follow(order)
            self.counts.slow -= 1
        if state in TERMINAL:
            self.counts.settled += 1
            self.counts.states[state] = self.counts.states.get(state, 0) + 1

    async def again(self, order: PlannedOrder) -> None:
        """Send an order once more that was sent long ago; the history says what came of it."""
        headers, body = _request(order)
        await self._ask("POST", self._url, order, "place", RESEND_TRY, None, headers, body)

    async def _place(self, order: PlannedOrder, intended: float, click: int) -> str | None:
        """Return the state the shopper was told; None if no answer could be had at all."""
        headers, body = _request(order)
        pause_s = FIRST_PAUSE_S
        for attempt in itertools.count():
            # Clicks of one shopper are told apart: 1, 2, … and then their retries.
            try_ = click + attempt * order.clicks
            answer = await self._ask(
                "POST", self._url, order, "place", try_, intended, headers, body
            )
            if is_definite(answer.status, answer.body, order.order_id):
                return str(answer.body.get("status_of_order") or answer.body.get("status") or "")
            self.counts.unknown += 1
            closed = await is_set_within(self._leave, pause_s)
            self.counts.unknown -= 1
            if closed:
                break
            pause_s = min(pause_s * 1.6, LONGEST_PAUSE_S)
        return None

    async def _wait_in_vain(self, order: PlannedOrder) -> None:
        """Return when the order is known to wait for the warehouse: time to lose patience."""
        url = f"{self._url}/{order.order_id}/events"
        for look in range(VAIN_LOOKS):
            answer = await self._ask("GET", url, order, "look", look, None)
            kinds = {event.get("type") for event in answer.body.get("items", ())}
            if kinds & {"waiting", *TERMINAL}:
                return
            await asyncio.sleep(LOOK_FIRST_S)

    async def _cancel(self, order: PlannedOrder) -> None:
        url = f"{self._url}/{order.order_id}/cancel"
        pause_s = FIRST_PAUSE_S
        for try_ in itertools.count(1):
            answer = await self._ask("POST", url, order, "cancel", try_, None)
            if kind_of(answer.status) != "info" or await is_set_within(self._leave, pause_s):
                return
            pause_s = min(pause_s * 1.6, LONGEST_PAUSE_S)

    async def _follow(self, order: PlannedOrder) -> str:
        """Look at the order until it has ended or the shop closes."""
        url = f"{self._url}/{order.order_id}"
        pause_s = LOOK_FIRST_S
        state = ""
        looks = 0
        while state not in TERMINAL and not self._leave.is_set():
            await is_set_within(self._leave, pause_s)
            pause_s = min(pause_s * 1.4, LOOK_LONGEST_S)
            looks += 1
            answer = await self._ask("GET", url, order, "look", looks, None)
            if answer.status == 200:
                state = str(answer.body.get("status", ""))
        return state

    async def _ask(
        self,
        method: str,
        url: str,
        order: PlannedOrder,
        operation: Operation,
        try_: int,
        intended: float | None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        assert self._session is not None
        entry = Entry(
            at=time.time(),
            kind="invoke",
            operation=operation,
            number=order.number,
            order_id=str(order.order_id),
            try_=try_,
        )
        if operation != "look":
            self._history.add(entry)
        sent = time.monotonic()
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers={
                    "Authorization": f"Bearer {self._token(order.customer)}",
                    # Names the request for whoever stands between.
                    "X-Request-Id": f"{order.order_id}.{operation}.{try_}",
                    **(headers or {}),
                },
                allow_redirects=False,  # there are none, and one would take the token along
            ) as response:
                answer = await read(response, sent)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            answer = Answer(None, {}, time.monotonic() - sent, advised=True)
        since = None if intended is None else time.monotonic() - intended
        self._history.add(_answered(entry, answer, since))
        return answer


def _answered(entry: Entry, answer: Answer, since_intended: float | None) -> Entry:
    """Return what came of the request that `entry` noted."""
    body = answer.body
    return replace(
        entry,
        at=time.time(),
        kind=kind_of(answer.status),
        status=answer.status,
        seconds=round(answer.seconds, 4),
        since_intended=None if since_intended is None else round(since_intended, 4),
        state=body.get("status_of_order"),
        answered_id=body.get("order_id"),
        told=str(body.get("message") or body.get("detail") or "")[:200],
        problem=problem_of(body),
        advised=answer.advised,
    )


def _request(order: PlannedOrder) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body that place an order, the same ones every time."""
    body = json.dumps({"lines": [line.model_dump() for line in order.lines]}).encode()
    return {"Idempotency-Key": order.key, "Content-Type": "application/json"}, body
