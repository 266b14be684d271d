"""What a reconciliation is given to work on, and what it reports."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from temporalio.client import Client

from inventory_api.contracts import Line

Progress = Callable[[str], None]
# A list for people that is longer is cut off; the report says how long it would have been.
MAX_LISTED = 100_000
MAX_VIOLATIONS_NAMED = 50


class Rule(StrEnum):
    """A way in which the databases disagree about an order, named by what is done about it."""

    RELEASE_UNORDERED = "release-unordered"
    RELEASE_ENDED = "release-ended"
    RELEASE_CANCELLED = "release-cancelled"
    BAR_ENDED = "bar-ended"
    CANCEL_OPEN = "cancel-open"
    SHIP_HELD = "ship-held"
    SHIP_UNKNOWN = "ship-unknown"
    HOLD_OPEN = "hold-open"
    REFUSE_REJECTED = "refuse-rejected"
    END_WORKFLOW = "end-workflow"
    # Nobody but a person can decide these.
    COMMITTED_UNORDERED = "committed-unordered"
    COMMITTED_ENDED = "committed-ended"
    SHIPPED_NOT_HELD = "shipped-not-held"
    NOT_IN_STOCK = "not-in-stock"
    OTHER_LINES = "other-lines"


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything is. `token` has the role `service`, as the worker's has.

    `temporal` is None where Temporal is empty or not there yet. `grace_s`: an order that is as new
    may be on its way and is left to its workflow; 0 where no service runs. `settle_within_s` is how
    long open orders are waited for; 0 where nobody works on them. `patience_s` bounds the time
    that the warehouse may take for one answer, retries included. `decided` are the orders that
    nobody has to be asked about any more, with the reason for which they were.
    """

    orders_dsn: str
    inventory_dsn: str
    inventory_url: str
    token: str = field(repr=False)
    temporal: Client | None = None
    grace_s: float = 60.0
    settle_within_s: float = 0.0
    patience_s: float = 60.0
    orders_may_be_empty: bool = False
    decided: frozenset[tuple[UUID, Rule]] = frozenset()


@dataclass(frozen=True, slots=True)
class OrderSide:
    """What the orders database knows of an order; `digest` and `lines` are what was ordered."""

    order_id: UUID
    status: str
    digest: bytes
    cancelling: bool
    created_at: datetime
    is_new: bool
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class StockSide:
    """What inventory knows of an order; `digest` and `lines` are what was held for it, if any."""

    order_id: UUID
    state: str
    digest: bytes | None
    updated_at: datetime
    is_new: bool
    lines: tuple[Line, ...] = ()


class _Reported(BaseModel):
    model_config = ConfigDict(frozen=True)


class ForPeople(_Reported):
    """An order about which a person has to decide, with what both sides say of it.

    `status` is None if there is no order, `state` if inventory knows nothing; `at` is when the
    goods left or were given back, else when the order was placed.
    """

    order_id: UUID
    rule: Rule
    what: str
    advice: str
    status: str | None
    state: str | None
    lines: tuple[Line, ...]
    at: datetime


class ReconcileReport(_Reported):
    """What was compared, repaired and left.

    `repaired` counts the orders for each rule; after a dry run, those that would be.
    `violations` is what still disagrees and is not on the list for people; `decided` counts what
    people have decided about already and is therefore on neither. `open_orders` are
    received or reserved: their workflows go on with them, or will when the platform runs.
    """

    dry_run: bool
    began_at: datetime
    seconds: float
    orders: int
    reservations: int
    open_orders: int
    repaired: dict[Rule, int]
    for_people: tuple[ForPeople, ...]
    for_people_count: int
    decided: int
    violations: tuple[str, ...]
    violations_count: int

    @property
    def needs_attention(self) -> bool:
        """Whether somebody has to do something about it."""
        undone = self.dry_run and bool(self.repaired)
        return undone or bool(self.for_people_count or self.violations_count)
