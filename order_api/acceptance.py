"""Accept an order: make it durable under its key, or say exactly what is known of it.

There are three outcomes and never a fourth: the order is there, whoever stored it and whenever;
it is certain that nothing is; or nobody can say yet. The writer outlives a caller who has stopped
waiting, and a commit may be stuck on its way, so silence proves nothing: only the database's own
"no", and a look that finds no order, make it certain.
"""

import asyncio
import time
from uuid import UUID

import asyncpg

from inventory_api.contracts import digest
from order_api.catalogue import Catalogue
from order_api.contracts import OrderLine, PlaceOrder, order_id_for
from order_api.db.store import Store
from order_api.db.stored_order import Accepted, NewOrder
from order_api.rate_limit import RateLimit, Slot
from order_api.settings import OrderSettings
from service_kit.http.problems import Problem, conflict, unavailable
from service_kit.postgres.pool import POSTGRES_ERRORS, Unreachable

# Left of the budget for the answer's way out, on a machine that may be busy just then.
ANSWER_MARGIN_S = 0.1
# What a last look may take where no answer budget leaves it more.
_LAST_LOOK_S = 0.25

# With these the server says that it has undone the statement, and Unreachable that it never saw
# it. A lock that was not had is not among them: it may be held by this very order, written by an
# earlier request and still on its way through its commit.
_CERTAINLY_NOT_WRITTEN: tuple[type[Exception], ...] = (
    Unreachable,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.PLPGSQLError,  # raised by a trigger
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
)


class Acceptance:
    """Takes orders into the database, each once, within the limits for new ones."""

    def __init__(
        self, settings: OrderSettings, store: Store, catalogue: Catalogue, limit: RateLimit
    ) -> None:
        self._settings = settings
        self._store = store
        self._catalogue = catalogue
        self._limit = limit

    async def accept(
        self,
        customer: str,
        key: str,
        wanted: PlaceOrder,
        started: float,
        *,
        relay_in_s: float,
        quoted_key: str | None = None,
    ) -> Accepted:
        """Return the order under this key: the one there was, or a new one.

        `quoted_key` is the key with the quotes that it was sent in, if it was: an early release
        may have stored the order under that.

        Neither prices nor limits apply to an order there was. `started` is when the request came
        (monotonic seconds). Raises a problem: 409 for another price than expected, 422 for what
        cannot be ordered or another order's key, 429 for one order too many; 503 `not-stored` if
        that is certain, else `outcome-unknown`.
        """
        order_id, fingerprint = order_id_for(customer, key), digest(wanted.lines)
        slot: Slot | None = None  # taken last before the order is sent
        try:
            async with asyncio.timeout(self._settings.accept_deadline_s):
                if quoted_key is not None:
                    quoted_id = order_id_for(customer, quoted_key)
                    if await self._store.order(quoted_id) is not None:
                        key, order_id = quoted_key, quoted_id
                try:
                    priced = await self._priced(wanted)
                    new = NewOrder(order_id, customer, key, fingerprint, *priced, relay_in_s)
                    slot = await self._limit.take(customer)
                except Problem as refusal:
                    accepted = await self._known(order_id, refusal)
                else:
                    accepted = await self._store.accept(new)
                    slot.stored = accepted.created
        except POSTGRES_ERRORS as error:
            certain = slot is None or isinstance(error, _CERTAINLY_NOT_WRITTEN)
            if slot is not None:
                slot.stored = not certain
            accepted = await self._last_look(order_id, started, certain=certain)
        finally:
            if slot is not None:
                await self._limit.end(slot)
        if accepted.order.digest != fingerprint:
            raise _key_of_another(order_id)
        return accepted

    async def _priced(self, wanted: PlaceOrder) -> tuple[tuple[OrderLine, ...], int, str]:
        """Return priced lines, total and currency; the 409 if they are not what was expected."""
        lines, total, currency = await self._catalogue.price(wanted.lines)
        if not wanted.is_as_told(total, currency):
            # the shopper may have seen a newer price than we remember
            lines, total, currency = await self._catalogue.price(wanted.lines, at_once=True)
        if not wanted.is_as_told(total, currency):
            raise _price_changed(wanted, total, currency)
        return lines, total, currency

    async def _known(self, order_id: UUID, refusal: Problem) -> Accepted:
        """Return the order that was stored before, which nothing can refuse any more."""
        earlier = await self._store.order(order_id)
        if earlier is None:
            # about this request alone: an earlier one may still be on its way through its commit
            raise refusal
        return Accepted(earlier, created=False)

    async def _last_look(self, order_id: UUID, started: float, *, certain: bool) -> Accepted:
        """Use what is left of the budget to find out what the failed request cannot tell."""
        settings = self._settings
        budget_s = max(settings.answer_budget_s, settings.accept_deadline_s + _LAST_LOOK_S)
        left_s = started + budget_s - ANSWER_MARGIN_S - time.monotonic()
        try:
            async with asyncio.timeout(max(left_s, 0.05)):
                found = await self._store.order(order_id)
        except POSTGRES_ERRORS:
            raise _outcome_unknown(order_id) from None
        if found is not None:
            return Accepted(found, created=not certain)
        raise _not_stored() if certain else _outcome_unknown(order_id)


def _price_changed(wanted: PlaceOrder, total: int, currency: str) -> Problem:
    expected = wanted.model_dump(
        include={"expected_total_minor", "expected_currency"}, exclude_none=True
    )
    return conflict(
        "price-changed",
        "The price has changed",
        f"It costs {total} {currency} now, not {' '.join(map(str, expected.values()))} "
        "(minor units).",
        advice="This request stored nothing. Show the new total; to order at it, send that as "
        "expected_total_minor and expected_currency, with the same Idempotency-Key.",
        **expected,
        total_minor=total,
        currency=currency,
    )


def _key_of_another(order_id: UUID) -> Problem:
    return Problem(
        422,
        "key-reused",
        "The key belongs to another order",
        "This Idempotency-Key was used for an order with other lines.",
        advice="That order stands, see order_id. For these lines use a new Idempotency-Key.",
        order_id=str(order_id),
    )


def _not_stored() -> Problem:
    return unavailable(
        "not-stored",
        "Our database did not take your order. Nothing was stored.",
        title="We could not store your order",
        advice="Send it again with the same Idempotency-Key: it can only become one order.",
    )


def _outcome_unknown(order_id: UUID) -> Problem:
    return unavailable(
        "outcome-unknown",
        "Our database did not tell us in time whether your order is stored.",
        title="We do not know yet whether we have your order",
        advice="Send it again with the same Idempotency-Key: it can only become one order, and the "
        "answer will say what became of it.",
        order_id=str(order_id),
    )
