"""Load generator: orders at a given rate (open), or as fast as they are taken (closed).

Open-model latency counts from the moment at which an order was *meant* to be sent, so a service
that stalls is charged with every order that it kept waiting, not only with the one it was at.
"""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from bench.harness.http_client import KeepAliveClient
from chaos.client.pacing import arrivals
from order_api.client_rules import is_definite, members_of
from order_api.contracts import order_id_for

# Of the demonstration catalogue those with a hundred thousand pieces on the shelf.
SKUS = ("MUG-BLUE", "MUG-SAND", "TEE-BASIC", "TOTE-CANVAS", "NOTEBOOK-A5", "SOCKS-WOOL")
CUSTOMERS = 20
CLIENT_TIMEOUT_S = 30.0
NO_ANSWER = 0
TAKEN = (201, 202)
ABOUT_AN_ORDER = (*TAKEN, 409)
_RETRY_DELAY_S = 1.0


def always() -> bool:
    """Tell those who are to go on to the end to do so."""
    return True


@dataclass(slots=True)
class Answers:
    """What came back: latency in seconds and status of each order, and how late it was sent.

    An order that was refused or failed is as slow as one that is waited for in vain: however
    quickly a service says no, it is not fast. Nor does it count towards the rate.
    `sent` also counts what was sent to warm up, or answered too late to be counted.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lags_s: list[float] = field(default_factory=list)
    sent: int = 0
    retries: int = 0
    lasted_s: float = 0.0

    @property
    def rate(self) -> float:
        """Orders taken per second; one that is sold out costs less than one that ships."""
        return sum(self.statuses[status] for status in TAKEN) / self.lasted_s

    def add(self, latency_s: float, status: int, lag_s: float) -> None:
        """Count one order."""
        in_vain = status not in ABOUT_AN_ORDER
        self.latencies_s.append(max(latency_s, CLIENT_TIMEOUT_S) if in_vain else latency_s)
        self.statuses[status] += 1
        self.lags_s.append(lag_s)

    def describe(self) -> str:
        """Return the statuses in words, most frequent first."""
        return ", ".join(
            f"{count} x {status or 'no answer'}" for status, count in self.statuses.most_common()
        )


@dataclass(frozen=True, slots=True)
class _Order:
    """One order: its id, and the bytes that ask for it."""

    order_id: UUID
    request: bytes


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an answer's status is, and whether it says what became of the order."""

    status: int
    definite: bool

    @property
    def ended(self) -> bool:
        return self.definite and self.status != 202


class Shoppers:
    """Customers who order through `port`; the n-th order of a seed is the same in every run.

    `run` keeps the keys of one process's runs apart: an order that is known already costs less.
    """

    _runs = itertools.count(int(time.time()))

    def __init__(self, host: str, port: int, token: Callable[[str], str], seed: int = 1) -> None:
        self._client = KeepAliveClient(host, port)
        self._random = random.Random(seed)
        self._run = f"bench-{next(self._runs)}"
        self._number = itertools.count(1)
        self._heads = [
            f"POST /v1/orders HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: Bearer {token(f'bench-{n}')}\r\nContent-Type: application/json\r\n"
            for n in range(CUSTOMERS)
        ]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def closed_loop(self, concurrency: int, seconds: float, answers: Answers) -> None:
        """Keep `concurrency` orders under way for `seconds`; count those that had ended by then.

        Whoever is told 202 asks again under the same key until the order has ended.
        """
        began = time.monotonic()
        end = began + seconds

        async def one_shopper() -> None:
            while (sent := time.monotonic()) < end:
                answers.sent += 1
                order = self._next_order()
                while not (reply := await self._place(order)).ended:
                    answers.retries += 1
                    if time.monotonic() > end:
                        break
                if (now := time.monotonic()) <= end:
                    answers.add(now - sent, reply.status, 0.0)

        await asyncio.gather(*(one_shopper() for _ in range(concurrency)))
        answers.lasted_s = seconds

    async def open_model(
        self,
        per_second: float,
        seconds: float,
        *,
        warm_up_s: float = 0.0,
        retry: bool = False,
        goes_on: Callable[[], bool] = always,
    ) -> Answers:
        """Send `per_second` orders for `seconds`, at random moments (Poisson), and await them all.

        The first `warm_up_s` are sent and not counted. With `retry`, an order is sent again under
        the same key until an answer is definite; the latency then includes the waits. It ends
        before its time when `goes_on` says so.
        """
        answers, warming_up = Answers(), Answers()
        began = time.monotonic()
        moments = itertools.takewhile(
            lambda _: goes_on(), self._moments(per_second, warm_up_s + seconds)
        )
        planned = ((at_s, answers if at_s >= warm_up_s else warming_up) for at_s in moments)
        async with asyncio.TaskGroup() as tasks:
            async for counted, due in arrivals(planned):
                answers.sent += 1
                tasks.create_task(self._send(due, counted, retry=retry))
            sent_for_s = time.monotonic() - began - warm_up_s
        answers.lasted_s = seconds if goes_on() else min(seconds, sent_for_s)
        return answers

    def _moments(self, per_second: float, seconds: float) -> Iterator[float]:
        at_s = 0.0
        while (at_s := at_s + self._random.expovariate(per_second)) < seconds:
            yield at_s

    async def _send(self, due: float, answers: Answers, *, retry: bool) -> None:
        lag = time.monotonic() - due
        order = self._next_order()
        reply = await self._place(order)
        while retry and not reply.definite:
            answers.retries += 1
            await asyncio.sleep(_RETRY_DELAY_S * self._random.uniform(0.8, 1.2))
            reply = await self._place(order)
        answers.add(time.monotonic() - due, reply.status, lag)

    def _next_order(self) -> _Order:
        number = next(self._number)
        chosen = self._random.sample(SKUS, self._random.choice((1, 1, 1, 2)))
        body = json.dumps({"lines": [{"sku": sku, "quantity": 1} for sku in chosen]})
        customer = number % CUSTOMERS
        key = f"{self._run}-{number}"
        rest = f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        return _Order(
            order_id_for(f"bench-{customer}", key), f"{self._heads[customer]}{rest}".encode()
        )

    async def _place(self, order: _Order) -> _Outcome:
        try:
            reply = await self._client.ask(order.request, CLIENT_TIMEOUT_S)
        except (OSError, TimeoutError):
            return _Outcome(NO_ANSWER, definite=False)
        definite = is_definite(reply.status, members_of(reply.body), order.order_id)
        return _Outcome(reply.status, definite)
