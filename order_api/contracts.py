"""Request and response models of order_api, and how an order gets its id."""

from datetime import datetime
from typing import Annotated, Any, get_args
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator

from activities.contracts import OrderStatus
from inventory_api.contracts import RequestedLines
from service_kit.http.response_model import ResponseModel

ORDER_NAMESPACE = UUID("6f1f0f5e-6c1c-5d0b-9b1e-3f0a8a5c2d17")
_UNIT_SEPARATOR = "\x1f"
MAX_TOTAL_MINOR = 2**63 - 1  # what a bigint holds


def order_id_for(customer: str, key: str) -> UUID:
    """Return the one id that this customer's order under this Idempotency-Key can have."""
    return uuid5(ORDER_NAMESPACE, f"{customer}{_UNIT_SEPARATOR}{key}")


Time = Annotated[
    datetime,
    PlainSerializer(lambda t: t.isoformat().replace("+00:00", "Z"), return_type=str),
]


class PlaceOrder(BaseModel):
    """What a shopper sends: SKUs and quantities. Prices are ours.

    `expected_total_minor` and `expected_currency` are what the shopper was told it would cost; an
    order that would cost anything else is not taken. They are no part of the order: the same lines
    are the same body.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    lines: RequestedLines
    expected_total_minor: int | None = Field(None, ge=0, le=MAX_TOTAL_MINOR)
    expected_currency: str | None = Field(None, pattern="^[A-Z]{3}$")

    def is_as_told(self, total_minor: int, currency: str) -> bool:
        """Tell whether it costs what the shopper was told, as far as he was told anything."""
        return self.expected_total_minor in (None, total_minor) and self.expected_currency in (
            None,
            currency,
        )


class Product(ResponseModel):
    """Something that can be ordered; `unit_price_minor` in the currency's smallest unit."""

    sku: str
    name: str
    description: str
    unit_price_minor: int
    currency: str
    image_url: str


class Products(ResponseModel):
    """Some products, by SKU; `next_cursor` asks for the following ones, None at the end."""

    items: list[Product]
    next_cursor: str | None = None


class OrderLine(ResponseModel):
    """One line at the price it was ordered for."""

    sku: str
    quantity: int
    unit_price_minor: int


class Order(ResponseModel):
    """An order as its customer sees it. Later releases may add statuses and reasons."""

    order_id: UUID
    status: str = Field(examples=list(get_args(OrderStatus)))
    reason: str | None
    lines: list[OrderLine]
    total_minor: int
    currency: str
    created_at: Time
    updated_at: Time
    message: str
    workflow_id: str


class OrderPage(ResponseModel):
    """Some orders, newest first; `next_cursor` asks for the following ones, None at the end."""

    items: list[Order]
    next_cursor: str | None = None


class TimelineEvent(ResponseModel):
    """One thing that happened to an order; `detail.message` says it in plain words."""

    seq: int
    at: Time
    type: str
    detail: dict[str, Any]

    @field_validator("detail", mode="before")
    @classmethod
    def _an_object(cls, detail: object) -> object:
        """Return a detail of a later release that is no object as `{"value": …}`."""
        return detail if isinstance(detail, dict) else {"value": detail}


class Timeline(ResponseModel):
    """All that has happened to an order so far, oldest first."""

    items: list[TimelineEvent]


class ResponseTime(ResponseModel):
    """How fast and how well one process (`instance`) answered orders in the rolling window.

    `count` orders were tried; `failed` ended in a 5xx or without an answer; `refused` requests
    (no key, no identity, a bad body, too many, another price), and repeats of orders that had
    ended before, are in none of the other figures. `reasons` names what turned the state red:
    `slow`, `failing`.
    """

    window_s: float
    count: int
    average_s: float | None
    oldest_in_flight_s: float
    state: str
    threshold_s: float
    reasons: list[str] = Field([])
    failed: int = 0
    failed_share: float | None = None
    failed_share_threshold: float | None = None
    refused: int = 0
    scope: str = "process"
    instance: str = ""


class Latency(ResponseModel):
    """Percentiles of the answer times of order requests in the window, in seconds."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class OperationsSummary(ResponseModel):
    """How the order service is doing as a whole.

    `by_status` counts the orders placed in the last `since_s` seconds; the two rates are orders a
    second over the last `rate_s` seconds; all else is as of `at`. `ahead_of_clock` counts open
    orders that are dated later than now: the database's clock was put back.
    """

    at: Time
    response_time: ResponseTime
    latency: Latency
    since_s: float
    rate_s: float
    by_status: dict[str, int]
    accepted_per_s: float
    settled_per_s: float
    unfinished: int
    waiting: int
    oldest_unfinished_s: float
    ahead_of_clock: int = 0
    relay_backlog: int
    relay_oldest_s: float
