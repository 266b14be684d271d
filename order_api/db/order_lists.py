"""Pages of orders, newest first, each read from an index however large the table is.

Every list is merged from one sorted list for each status, so that one index serves them all. A
condition of the kind "no filter, or equal to it" would be planned as if every row were wanted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from order_api.db.statements import ORDER_COLUMNS
from order_api.db.stored_order import StoredOrder, from_row
from order_api.search import Search
from service_kit.postgres.pool import Connection

Position = tuple[datetime, UUID]
# Before the first order of a list.
_NEWEST_POSITION: Position = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))

# A search that fits no more orders than these looks at each of them. One that fits more walks
# through the list, at most so far for one page.
MAX_MATCHES = 2000
MAX_SCANNED = 2000


@dataclass(frozen=True, slots=True)
class Page:
    """Orders, and the place after which the next page begins; None if there is none."""

    orders: list[StoredOrder]
    next: Position | None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Whose orders (None: everyone's), of which status (None: any), how many, and from where."""

    customer: str | None
    status: str | None
    limit: int
    before: Position | None


async def newest(connection: Connection, wanted: ListQuery) -> Page:
    """Return a page of all wanted orders."""
    statement = NEWEST if wanted.customer is None else NEWEST_OF_CUSTOMER
    rows = await connection.fetch(statement, *_from(wanted, wanted.limit + 1))
    return _page([from_row(row) for row in rows], wanted.limit)


async def found(connection: Connection, wanted: ListQuery, search: Search) -> Page:
    """Return a page of those that fit the search.

    It may be short, even empty, and yet be followed by others: a product that nobody has ordered
    for long is far down the list.
    """
    rows = await connection.fetch(SKUS, search.text)
    skus = sorted({row["sku"] for row in rows} | ({search.sku} if search.sku else set()))
    numbers = (search.first, search.last)
    fitting = await connection.fetch(MATCHES, *numbers, skus, MAX_MATCHES + 1)
    if len(fitting) <= MAX_MATCHES:
        ids = [row["order_id"] for row in fitting]
        rows = await connection.fetch(AMONG, *_from(wanted, wanted.limit + 1), ids)
        return _page([from_row(row) for row in rows], wanted.limit)
    walk, walked = (
        (SCAN, SCAN_END) if wanted.customer is None else (SCAN_OF_CUSTOMER, SCAN_END_OF_CUSTOMER)
    )
    arguments = _from(wanted, MAX_SCANNED)
    rows = await connection.fetch(walk, *arguments, *numbers, skus, wanted.limit + 1)
    page = _page([from_row(row) for row in rows], wanted.limit)
    if page.next is not None:
        return page
    end = await connection.fetchrow(walked, *arguments)
    if end is None:
        return page
    # orders that came meanwhile make the second look end a little earlier than the first
    places = [(end["created_at"], end["order_id"]), *map(_position, page.orders[-1:])]
    return Page(page.orders, min(places))


def _page(orders: list[StoredOrder], limit: int) -> Page:
    """Return the page out of one order more than it has room for."""
    shown = orders[:limit]
    return Page(shown, _position(shown[-1]) if len(orders) > limit else None)


def _position(order: StoredOrder) -> Position:
    return order.created_at, order.order_id


def _from(wanted: ListQuery, many: int) -> list[Any]:
    """Return the arguments $1 to $5 of every list; `many` bounds how far it is read."""
    before = wanted.before or _NEWEST_POSITION
    return [wanted.status or "", *before, many, wanted.customer or ""]


# Status by status as the table has them, one look into the index for each: there may be some that
# this release does not know. Read apart from the list, they would lack one that is new just now.
EACH_STATUS = """
WITH RECURSIVE each (status) AS (
    SELECT min(status) FROM orders
    UNION ALL
    SELECT (SELECT min(o.status) FROM orders o WHERE o.status > each.status)
    FROM each WHERE each.status IS NOT NULL
)
"""
_WANTED_OF_EACH = """
wanted (status) AS (
    SELECT $1::text WHERE $1::text <> ''
    UNION ALL
    SELECT status FROM each WHERE $1::text = '' AND status IS NOT NULL
)
"""
_WANTED = f"{EACH_STATUS}, {_WANTED_OF_EACH}"
# Up to $4 orders after the place ($2, $3), of status $1 or of any, of customer $5 or of all.
_LIST = """
SELECT newest.*
FROM wanted CROSS JOIN LATERAL (
    SELECT * FROM orders
    WHERE $5::text = '' AND status = wanted.status
      AND (created_at, order_id) < ($2::timestamptz, $3::uuid)
    ORDER BY created_at DESC, order_id DESC LIMIT $4
) newest
ORDER BY newest.created_at DESC, newest.order_id DESC LIMIT $4
"""
_LIST_OF_CUSTOMER = """
SELECT newest.*
FROM wanted CROSS JOIN LATERAL (
    SELECT * FROM orders
    WHERE customer = $5::text AND status = wanted.status
      AND (created_at, order_id) < ($2::timestamptz, $3::uuid)
    ORDER BY created_at DESC, order_id DESC LIMIT $4
) newest
ORDER BY newest.created_at DESC, newest.order_id DESC LIMIT $4
"""
_NEWEST_FIRST = "ORDER BY o.created_at DESC, o.order_id DESC"
NEWEST = f"{_WANTED} {ORDER_COLUMNS} FROM ({_LIST}) o {_NEWEST_FIRST}"
NEWEST_OF_CUSTOMER = f"{_WANTED} {ORDER_COLUMNS} FROM ({_LIST_OF_CUSTOMER}) o {_NEWEST_FIRST}"

# Of the whole catalogue, also what is no longer on sale: people look for what they once bought.
SKUS = """
SELECT sku FROM products
WHERE strpos(sku, upper($1)) > 0 OR strpos(lower(name), lower($1)) > 0
"""
MATCHES = """
(SELECT order_id FROM orders WHERE order_id BETWEEN $1::uuid AND $2::uuid
 ORDER BY order_id LIMIT $4)
UNION
(SELECT fitting.order_id
 FROM unnest($3::text[]) AS wanted (sku) CROSS JOIN LATERAL (
     SELECT l.order_id FROM order_lines l WHERE l.sku = wanted.sku ORDER BY l.order_id LIMIT $4
 ) fitting
 LIMIT $4)
"""
AMONG = f"""
{ORDER_COLUMNS} FROM orders o
WHERE o.order_id = ANY ($6::uuid[]) AND ($5::text = '' OR o.customer = $5)
  AND ($1::text = '' OR o.status = $1) AND (o.created_at, o.order_id) < ($2::timestamptz, $3::uuid)
{_NEWEST_FIRST} LIMIT $4
"""
# The first $9 that fit among the list's. A scalar subquery and not EXISTS: that could be planned as
# a hash of all order lines.
_FITS = """
WHERE o.order_id BETWEEN $6::uuid AND $7::uuid
   OR (SELECT true FROM order_lines l
       WHERE l.order_id = o.order_id AND l.sku = ANY ($8::text[]) LIMIT 1)
ORDER BY o.created_at DESC, o.order_id DESC LIMIT $9
"""
SCAN = f"{_WANTED} {ORDER_COLUMNS} FROM ({_LIST}) o {_FITS}"
SCAN_OF_CUSTOMER = f"{_WANTED} {ORDER_COLUMNS} FROM ({_LIST_OF_CUSTOMER}) o {_FITS}"
# Where such a walk has ended, if there are as many orders.
_END = "SELECT o.created_at, o.order_id"
SCAN_END = f"{_WANTED} {_END} FROM ({_LIST}) o OFFSET $4 - 1"
SCAN_END_OF_CUSTOMER = f"{_WANTED} {_END} FROM ({_LIST_OF_CUSTOMER}) o OFFSET $4 - 1"
