"""Request and response models of inventory_api, which its consumers import."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service_kit.http.response_model import ResponseModel

MAX_LINES = 50
MAX_QUANTITY = 10_000
MAX_RESTOCK = 1_000_000

# Ends the problem type that refuses a reservation; also the reason of the order that wanted it.
OUT_OF_STOCK = "out-of-stock"

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9](?:[A-Z0-9-]{0,62}[A-Z0-9])?$")]
# What can be asked for. What is answered may be of a later release, and is any text.
Operation = Literal["reserve", "commit", "release", "restock", "initial"]


class Model(BaseModel):
    """Frozen, strict, and without room for members nobody asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Line(BaseModel):
    """So many pieces of one SKU; readers ignore members that later versions add."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    sku: Sku
    quantity: int = Field(ge=1, le=MAX_QUANTITY)


class RequestedLine(Line):
    """A line as somebody outside asks for it: a member that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


def _each_sku_once(lines: tuple[RequestedLine, ...]) -> tuple[RequestedLine, ...]:
    if len({line.sku for line in lines}) != len(lines):
        raise ValueError("a SKU appears in two lines; add their quantities up")
    return lines


RequestedLines = Annotated[
    tuple[RequestedLine, ...],
    Field(min_length=1, max_length=MAX_LINES, strict=False),
    AfterValidator(_each_sku_once),
]


def digest(lines: Sequence[Line]) -> bytes:
    """Return a fingerprint of what is asked for, whatever order the lines come in."""
    text = "\n".join(sorted(f"{line.sku}={line.quantity}" for line in lines))
    return hashlib.sha256(text.encode()).digest()


class ReserveRequest(Model):
    """Hold all of these lines for an order, or none."""

    lines: RequestedLines


class RestockRequest(Model):
    """Add so many pieces to the shelf."""

    quantity: int = Field(ge=1, le=MAX_RESTOCK)


class ReservationAnswer(ResponseModel):
    """The verdict on one reserve, commit or release."""

    order_id: UUID
    state: str


class Shortage(ResponseModel):
    """One line that could not be held: how many were asked for and how many were free."""

    sku: str
    requested: int
    available: int


class Movement(ResponseModel):
    """One entry of the append-only ledger."""

    sku: str
    operation: str
    quantity: int
    at: datetime


class LedgerEntry(Movement):
    """A movement with its place in the ledger and its cause: an order, or a restock's key."""

    movement_id: int
    order_id: UUID | None
    restock_key: str | None


class Ledger(ResponseModel):
    """Some movements, newest first; `next_cursor` asks for the following ones, None at the end."""

    items: list[LedgerEntry]
    next_cursor: str | None = None


class Reservation(ResponseModel):
    """All that the warehouse knows of an order."""

    order_id: UUID
    state: str
    lines: list[Line]
    movements: list[Movement]
    created_at: datetime
    updated_at: datetime


class StockLevel(ResponseModel):
    """Pieces of one SKU: on the shelf, promised to orders, and free to promise."""

    sku: str
    on_hand: int
    reserved: int
    available: int


class StockLevels(ResponseModel):
    """Some levels, by SKU; `next_cursor` asks for the following ones, None at the end."""

    items: list[StockLevel]
    next_cursor: str | None = None
