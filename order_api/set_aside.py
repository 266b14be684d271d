"""Orders that the relay cannot drive for a reason of their own, kept visible."""

import time
from uuid import UUID

from prometheus_client import Counter

from service_kit.observability import logs
from service_kit.observability.health import CheckResult

# How long health speaks of one that nobody has met again; another replica may have driven it.
FORGOTTEN_AFTER_S = 300.0
NAMED = 5

SET_ASIDE = Counter(
    "orders_set_aside", "Times that the relay put an order aside, for a reason of its own."
)
_log = logs.get(__name__)


class SetAside:
    """What this process has put aside lately, and why."""

    def __init__(self) -> None:
        self._orders: dict[UUID, tuple[str, float]] = {}

    @property
    def orders(self) -> frozenset[UUID]:
        """Those that were put aside."""
        return frozenset(self._orders)

    def add(self, order_id: UUID, error: Exception) -> None:
        """Note that `order_id` cannot be driven."""
        known = self._orders.pop(order_id, None)
        self._orders[order_id] = (type(error).__name__, time.monotonic())
        SET_ASIDE.inc()
        details = {"exc_info": error} if known is None else {"reason": type(error).__name__}
        _log.error("order put aside", order_id=str(order_id), **details)

    def discard(self, order_id: UUID) -> None:
        """Note that it could be driven after all."""
        self._orders.pop(order_id, None)

    async def none(self) -> CheckResult:
        """Probe: is there one?"""
        now = time.monotonic()
        for order_id, (_, at) in list(self._orders.items()):
            if now - at > FORGOTTEN_AFTER_S:
                del self._orders[order_id]
        if not self._orders:
            return CheckResult(value=0, unit="orders")
        newest = reversed(self._orders.items())
        named = [f"{order_id} ({why})" for order_id, (why, _) in newest]
        more = ", …" if len(named) > NAMED else ""
        output = f"put aside, tried again once a minute: {', '.join(named[:NAMED])}{more}"
        return CheckResult("warn", output, len(named), "orders")
