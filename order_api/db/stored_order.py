"""An order before and after it is stored."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from activities.contracts import TERMINAL
from order_api.contracts import Order, OrderLine
from workflows.contracts import OrderOutcome, workflow_id
from workflows.shopper_texts import message_for


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A valid, priced order that is about to be accepted.

    `relay_in_s`: how soon the relay should look after it if nobody else has.
    """

    order_id: UUID
    customer: str
    key: str
    digest: bytes
    lines: tuple[OrderLine, ...]
    total_minor: int
    currency: str
    relay_in_s: float


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order's row with its lines.

    `settled`, by the database's word, also of a status that this release does not know.
    """

    order_id: UUID
    customer: str
    digest: bytes
    status: str
    reason: str | None
    waiting_for: str | None
    lines: tuple[OrderLine, ...]
    total_minor: int
    currency: str
    created_at: datetime
    updated_at: datetime
    cancelling: bool = False
    settled: bool = False

    def to_response(self) -> Order:
        """Return the order as its customer sees it."""
        return Order.model_validate(
            {
                "order_id": self.order_id,
                "status": self.status,
                "reason": self.reason,
                "lines": list(self.lines),
                "total_minor": self.total_minor,
                "currency": self.currency,
                "created_at": self.created_at,
                "updated_at": self.updated_at,
                "message": message_for(
                    self.status,
                    self.reason,
                    self.waiting_for,
                    cancelling=self.cancelling and not self.settled,
                ),
                "workflow_id": workflow_id(self.order_id),
            }
        )

    def with_outcome(self, outcome: OrderOutcome) -> "StoredOrder":
        """Return the order as it is after what the saga has reported."""
        return replace(
            self,
            status=outcome.status,
            reason=outcome.reason,
            waiting_for=outcome.waiting_for,
            updated_at=outcome.at,
            settled=self.settled or outcome.status in TERMINAL,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """The order under a key, and whether this very request made it, or may have."""

    order: StoredOrder
    created: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """An order as it is answered, and whether this request did anything for it.

    `worked_on`: the request stored the order, may have, or found it open and waited for it.
    """

    order: StoredOrder
    worked_on: bool


@dataclass(frozen=True, slots=True)
class DueOrder:
    """An unsettled order that nobody has looked after for a while.

    Its lines are read when they are asked for: one that cannot be read is nobody else's trouble.
    """

    order_id: UUID
    lines_column: str | None
    cancelling: bool

    @property
    def lines(self) -> tuple[OrderLine, ...]:
        """What is ordered."""
        return lines_of(self.lines_column)


def lines_of(column: str | None) -> tuple[OrderLine, ...]:
    """Return the lines in a JSON column of `[sku, quantity, unit price]`; None has none."""
    return tuple(
        OrderLine(sku=sku, quantity=quantity, unit_price_minor=price)
        for sku, quantity, price in json.loads(column or "[]")
    )


def from_row(row: asyncpg.Record) -> StoredOrder:
    """Return the order in a row of the store's queries."""
    columns: dict[str, Any] = dict(row)
    columns["digest"] = columns.pop("request_digest")
    columns["lines"] = lines_of(columns["lines"])
    return StoredOrder(**columns)


def from_new(new: NewOrder, created_at: datetime) -> StoredOrder:
    """Return `new` as it stands right after it was made durable at `created_at`."""
    return StoredOrder(
        order_id=new.order_id,
        customer=new.customer,
        digest=new.digest,
        status="received",
        reason=None,
        waiting_for=None,
        lines=new.lines,
        total_minor=new.total_minor,
        currency=new.currency,
        created_at=created_at,
        updated_at=created_at,
    )
