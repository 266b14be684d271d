"""Rules of reconciling: what is done when orders and inventory disagree about an order. Pure.

What was told to a shopper as an end stays the end: goods follow the order. Where they cannot,
because they have left or were given back, a person decides.
"""

from collections.abc import Mapping

from activities.contracts import OPEN
from backup.reconcile.contracts import OrderSide, Rule, StockSide

# In the order in which they are carried out: what gives goods back comes first, then what has left
# in truth, then what was promised. Who was told "sold out" comes last, when levels are right again.
REPAIRS = (
    Rule.RELEASE_UNORDERED,
    Rule.RELEASE_ENDED,
    Rule.RELEASE_CANCELLED,
    Rule.BAR_ENDED,
    Rule.CANCEL_OPEN,
    Rule.SHIP_HELD,
    Rule.SHIP_UNKNOWN,
    Rule.HOLD_OPEN,
    Rule.REFUSE_REJECTED,
)
FOR_PEOPLE = (
    Rule.COMMITTED_UNORDERED,
    Rule.COMMITTED_ENDED,
    Rule.SHIPPED_NOT_HELD,
    Rule.NOT_IN_STOCK,
    Rule.OTHER_LINES,
)

WORDS: Mapping[Rule, str] = {
    Rule.RELEASE_UNORDERED: "held for an order that there is not: released",
    Rule.RELEASE_ENDED: "ended without shipping, still held: released",
    Rule.RELEASE_CANCELLED: "to be cancelled, still held: released, its workflow ends it",
    Rule.BAR_ENDED: "ended without shipping, unknown to inventory: barred against a late hold",
    Rule.CANCEL_OPEN: "open, but given up in inventory: the cancel is noted once more",
    Rule.SHIP_HELD: "shipped, but only held in inventory: committed",
    Rule.SHIP_UNKNOWN: "shipped, but unknown to inventory: reserved and committed again",
    Rule.HOLD_OPEN: "open, but unknown to inventory: held again, its workflow ships it",
    Rule.REFUSE_REJECTED: "rejected, but unknown to inventory: refused again, or barred",
    Rule.END_WORKFLOW: "a workflow at work for an order that there is not: ended",
    Rule.COMMITTED_UNORDERED: "goods have left for an order that the orders database has lost",
    Rule.COMMITTED_ENDED: "the order ended without shipping, but its goods have left",
    Rule.SHIPPED_NOT_HELD: "the order has shipped, but inventory has given its goods back",
    Rule.NOT_IN_STOCK: "the order has shipped, but inventory does not have as many pieces",
    Rule.OTHER_LINES: "inventory has other lines for this order than were ordered",
}
ADVICE: Mapping[Rule, str] = {
    Rule.COMMITTED_UNORDERED: "Find out from the parcel's papers whose it was, and bill it. If its "
    "customer sends the order again under the same key, all agrees by itself.",
    Rule.COMMITTED_ENDED: "Look whether the parcel has left. If so, ask for it back or bill it. If "
    "not, put the pieces back and enter them as a delivery.",
    Rule.SHIPPED_NOT_HELD: "Look whether the parcel has left, and send it if not. Then take its "
    "pieces out of inventory with an order in the shop's own name: the shelf has fewer.",
    Rule.NOT_IN_STOCK: "Most likely a delivery is missing that came after the moment to which "
    "inventory was restored: enter it again under the key it had, then reconcile again.",
    Rule.OTHER_LINES: "The key was used for two orders, of which one is lost. Compare both lists "
    "of lines with the parcel, and settle the difference with the customer.",
}


def judge(order: OrderSide | None, stock: StockSide | None) -> Rule | None:
    """Return the rule for what both sides say of one order, None if there is nothing to do."""
    if order is None:
        return _without_order(stock)
    if stock is not None and stock.state in ("held", "committed") and stock.digest != order.digest:
        return _other_lines(order, stock)
    state = None if stock is None else stock.state
    if order.status in OPEN:
        return _open(order, stock)
    if order.status == "shipped":
        return {"committed": None, "held": Rule.SHIP_HELD, None: Rule.SHIP_UNKNOWN}.get(
            state, Rule.SHIPPED_NOT_HELD
        )
    if order.status in ("rejected", "cancelled", "failed"):
        unknown = Rule.REFUSE_REJECTED if order.status == "rejected" else Rule.BAR_ENDED
        return {
            "committed": Rule.COMMITTED_ENDED,
            "held": Rule.RELEASE_ENDED,
            None: unknown,
        }.get(state)
    return None  # of a later release: that one knows what it means


def _without_order(stock: StockSide | None) -> Rule | None:
    state = None if stock is None else stock.state
    if state == "held":
        return Rule.RELEASE_UNORDERED
    return Rule.COMMITTED_UNORDERED if state == "committed" else None


def _other_lines(order: OrderSide, stock: StockSide) -> Rule | None:
    """What was held for a lost order under the same key is never committed for this one."""
    if stock.state == "committed" or order.status == "shipped":
        return Rule.OTHER_LINES
    if order.status in OPEN:
        return None  # the warehouse refuses its reserve, so it fails, and the hold is released
    return Rule.RELEASE_ENDED


def _open(order: OrderSide, stock: StockSide | None) -> Rule | None:
    """Workflows take open orders up again and find what is done, but for three cases.

    One whose workflow has got past the hold would be told that it is unknown, and fail. One that
    was cancelled after the moment to which orders were restored would fail, not be cancelled. And
    what an older inventory still holds for one to be cancelled, others have been sent since.
    """
    if order.cancelling:
        gives_back = stock is not None and stock.state == "held" and not stock.is_new
        return Rule.RELEASE_CANCELLED if gives_back else None
    if stock is None:
        on_its_way = order.status == "received" and order.is_new
        return None if on_its_way else Rule.HOLD_OPEN
    if stock.state == "released" and not stock.is_new and stock.updated_at >= order.created_at:
        return Rule.CANCEL_OPEN
    return None
