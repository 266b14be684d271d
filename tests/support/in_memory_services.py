"""An inventory and an order store in memory, behind the same activity names as the real ones.

They obey the same rules as inventory_api and order_api's store (one effect per order and
operation, tombstones, a status that only moves forward), so the saga cannot tell the difference.
What goes wrong, and when, is told to them beforehand.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import errors
from activities.contracts import (
    TERMINAL,
    StatusUpdate,
    StepCall,
    StepDone,
    StoredStatus,
    TimelineEntry,
)
from activities.references import OrderRecords, WarehouseSteps
from inventory_api.contracts import Line

LOST_REQUEST: Final = "lost request"  # it never arrived
LOST_ANSWER: Final = "lost answer"  # it took effect, and nobody heard
UNWORKABLE: Final = "unworkable"  # a refusal for good that should never happen
Trouble = Literal["lost request", "lost answer", "unworkable", "fine"]

RANK: dict[str, int] = {"received": 0, "reserved": 1}


@dataclass
class Barrier:
    """A place where an attempt waits until the test lets it go on."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


class InMemoryInventory(WarehouseSteps):
    """Stock of one order's lines, with the reservation rules of inventory_api."""

    def __init__(self, stock: dict[str, int]) -> None:
        self.initial = dict(stock)
        self.on_hand = Counter(stock)
        self.reserved: Counter[str] = Counter()
        self.states: dict[UUID, str] = {}
        self.lines: dict[UUID, tuple[Line, ...]] = {}
        self.movements: Counter[tuple[UUID, str, str]] = Counter()
        self.attempts: defaultdict[str, list[int]] = defaultdict(list)
        self.troubles: defaultdict[str, deque[Trouble | Barrier]] = defaultdict(deque)
        self.away: dict[str, timedelta] = {}
        self.retry_after: timedelta | None = None
        self.decided = asyncio.Event()

    def expect(self, operation: str, *troubles: "Trouble | Barrier") -> None:
        """Have the coming attempts at `operation` meet these, one each; then all is well."""
        self.troubles[operation].extend(troubles)

    def be_away(self, operation: str, how_long: timedelta) -> None:
        """Lose every request for `operation`, from the first durable attempt on, for so long."""
        self.away[operation] = how_long

    def hold_up(self, operation: str, how_long: timedelta) -> Barrier:
        """Be away, and give the place where the first durable attempt waits before it is lost.

        For a cancel after which time is skipped: the test server keeps its clock locked for ever
        if a retry falls due in the moment that it is cancelled, and none does while one is at work.
        """
        barrier = Barrier()
        self.expect(operation, LOST_REQUEST, barrier)
        self.be_away(operation, how_long)
        return barrier

    @activity.defn(name="reserve")
    async def reserve(self, step: StepCall) -> StepDone:
        return await self._attempt("reserve", step, self._hold)

    @activity.defn(name="commit")
    async def commit(self, step: StepCall) -> StepDone:
        return await self._attempt("commit", step, self._take)

    @activity.defn(name="release")
    async def release(self, step: StepCall) -> StepDone:
        return await self._attempt("release", step, self._put_back)

    async def _attempt(
        self, operation: str, step: StepCall, effect: Callable[[StepCall], str]
    ) -> StepDone:
        info = activity.info()
        attempt = step.attempt(info.attempt)
        self.attempts[operation].append(attempt)
        trouble = self.troubles[operation].popleft() if self.troubles[operation] else "fine"
        if isinstance(trouble, Barrier):
            trouble.arrived.set()
            await trouble.go_on.wait()
        waited = info.current_attempt_scheduled_time - info.scheduled_time
        away = operation in self.away and (info.is_local or waited < self.away[operation])
        if away or trouble == LOST_REQUEST:
            raise self._unknown(operation)
        if trouble == UNWORKABLE:
            raise errors.unworkable(f"{operation} was refused")
        state = effect(step)
        self.decided.set()
        if trouble == LOST_ANSWER:
            raise self._unknown(operation)
        return StepDone(state=state, at=datetime.now(UTC), attempt=attempt)

    def _unknown(self, operation: str) -> ApplicationError:
        text = f"no answer to {operation}"
        return ApplicationError(
            text, type=errors.UNKNOWN_OUTCOME, next_retry_delay=self.retry_after
        )

    def _hold(self, step: StepCall) -> str:
        state = self.states.get(step.order_id)
        if state is None:
            short = [
                line.sku
                for line in step.lines
                if self.on_hand[line.sku] - self.reserved[line.sku] < line.quantity
            ]
            state = self.states[step.order_id] = "refused" if short else "held"
            self.lines[step.order_id] = () if short else step.lines
            self._move(step.order_id, "reserve", reserved=1)
        if state == "refused":
            raise errors.refusal(errors.OUT_OF_STOCK, "Not enough in stock.")
        if state == "released":
            raise errors.refusal(errors.ALREADY_RELEASED, "The order was released.")
        return "held"

    def _take(self, step: StepCall) -> str:
        state = self.states.get(step.order_id)
        if state is None:
            raise errors.unworkable("commit was refused with 404 unknown-reservation")
        if state == "released":
            raise errors.refusal(errors.ALREADY_RELEASED, "The order was released.")
        if state == "refused":
            raise errors.refusal(errors.UNWORKABLE, "There is nothing to commit.")
        if state == "held":
            self.states[step.order_id] = "committed"
            self._move(step.order_id, "commit", reserved=-1, on_hand=-1)
        return "committed"

    def _put_back(self, step: StepCall) -> str:
        state = self.states.get(step.order_id)
        if state == "committed":
            raise errors.refusal(errors.ALREADY_COMMITTED, "The order has shipped.")
        if state in (None, "held"):
            self.states[step.order_id] = "released"
        if state == "held":
            self._move(step.order_id, "release", reserved=-1)
        return "released"

    def _move(self, order_id: UUID, operation: str, *, reserved: int, on_hand: int = 0) -> None:
        for line in self.lines[order_id]:
            self.movements[order_id, line.sku, operation] += 1
            self.reserved[line.sku] += reserved * line.quantity
            self.on_hand[line.sku] += on_hand * line.quantity

    def check(self, order_id: UUID, ended: str) -> None:
        """Assert that stock and ledger are as they have to be once the order `ended` so."""
        assert all(count == 1 for count in self.movements.values()), self.movements
        assert not +self.reserved, "something is still held"
        assert all(level >= 0 for level in self.on_hand.values())
        state = self.states.get(order_id)
        assert (state == "committed") == (ended == "shipped"), (state, ended)
        for sku, initial in self.initial.items():
            gone = sum(
                line.quantity
                for order, lines in self.lines.items()
                for line in lines
                if line.sku == sku and self.movements[order, sku, "commit"]
            )
            assert self.on_hand[sku] == initial - gone


class InMemoryOrderStore(OrderRecords):
    """What order_api's store keeps of each order: a status and a timeline."""

    def __init__(self) -> None:
        self.recorded: dict[UUID, StoredStatus] = {}
        self.told: dict[tuple[UUID, str], TimelineEntry] = {}
        self.statuses: defaultdict[UUID, list[str]] = defaultdict(list)
        self.waiting_for: dict[UUID, str | None] = {}
        self.lose = 0
        self.away: timedelta | None = None
        # what a later release has made of the rows, by the status that they do not take any more
        self.ahead: dict[str, str] = {}

    @activity.defn(name="record")
    async def record(self, update: StatusUpdate) -> StoredStatus:
        info = activity.info()
        waited = info.current_attempt_scheduled_time - info.scheduled_time
        if self.away is not None and (info.is_local or waited < self.away):
            raise ConnectionError("the orders database is away")
        order_id = update.order_id
        if update.status in self.ahead:
            return StoredStatus(status=self.ahead[update.status], reason="later")
        before = self.recorded.get(order_id, StoredStatus(status="received"))
        if before.status not in TERMINAL and RANK.get(update.status, 2) >= RANK[before.status]:
            self.recorded[order_id] = StoredStatus(status=update.status, reason=update.reason)
            self.waiting_for[order_id] = update.waiting_for
            self.statuses[order_id].append(update.status)
            for entry in update.entries:
                self.told.setdefault((order_id, entry.key), entry)
        if self.lose > 0:
            self.lose -= 1
            raise ConnectionError("written, and the answer lost")
        return self.recorded[order_id]

    def timeline(self, order_id: UUID) -> list[str]:
        """Return the types of what was told of the order, in the order of the telling."""
        return [event.type for (order, _), event in self.told.items() if order == order_id]

    def check(self, order_id: UUID, ended: str) -> None:
        """Assert that the row ended as the workflow did and never went back."""
        assert self.recorded[order_id].status == ended
        ranks = [RANK.get(status, 2) for status in self.statuses[order_id]]
        assert ranks == sorted(ranks)
        times = [event.at for (order, _), event in self.told.items() if order == order_id]
        assert times == sorted(times)
        assert sum(kind in TERMINAL for kind in self.timeline(order_id)) == 1


def activities_of(
    inventory: InMemoryInventory, store: InMemoryOrderStore
) -> list[Callable[..., Any]]:
    """Return the four activities as the worker registers them."""
    return [inventory.reserve, inventory.commit, inventory.release, store.record]
