"""Invariants of stock (I1, I2, I3, I7, I8, I12), judged from the ledger alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.checker.check_result import Check, check
from chaos.checker.observations import Movement, Observations, Snapshot

_ADDS = ("initial", "restock")
_OF_ORDERS = ("reserve", "commit", "release")


def conservation(observations: Observations) -> Check:
    """I1: per SKU, at every snapshot, level = what came in − what left; held = reserved."""
    levels = [*observations.snapshots, *_at_rest(observations)]
    return check(
        "I1",
        "Stock is conserved: what came in, minus what left, is on the shelf",
        len(levels),
        (
            f"{level.sku}: {level.on_hand} on hand and {level.reserved} reserved, but the ledger "
            f"says {level.ledger_on_hand} and {level.ledger_reserved} (at {level.at:.0f})"
            for level in levels
            if not level.conserves
        ),
    )


def _at_rest(observations: Observations) -> Iterator[Snapshot]:
    """Yield each shelf at the end of the run, and what all movements together say of it."""
    added: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for movement in observations.movements:
        if movement.operation in (*_ADDS, "commit"):
            leaves = movement.operation == "commit"
            added[movement.sku] += -movement.quantity if leaves else movement.quantity
        if movement.operation in _OF_ORDERS:
            taken = movement.operation == "reserve"
            held[movement.sku] += movement.quantity if taken else -movement.quantity
    end = max((shot.at for shot in observations.snapshots), default=0.0)
    for shelf in observations.shelves:
        ledger = added[shelf.sku], held[shelf.sku]
        yield Snapshot(end, shelf.sku, shelf.on_hand, shelf.reserved, *ledger)


def one_effect(observations: Observations) -> Check:
    """I2: at most one effect per order, SKU and operation; one commit exactly if shipped."""
    effects = Counter((m.order_id, m.sku, m.operation) for m in _of_orders(observations))

    def wrong() -> Iterator[str]:
        for (order_id, sku, operation), times in effects.items():
            if times > 1:
                yield f"order {order_id}: {operation} of {sku} happened {times} times"
        for row in observations.orders:
            committed = {
                m.sku for m in observations.moved.get(row.order_id, ()) if m.operation == "commit"
            }
            if row.status == "shipped" and committed != set(row.lines):
                yield f"order {row.order_id}: shipped, but {sorted(committed)} left the shelf"
            if row.status != "shipped" and committed:
                yield f"order {row.order_id}: {row.status}, but {sorted(committed)} left the shelf"

    return check(
        "I2",
        "Each effect on stock happens once, and goods leave exactly if the order ships",
        len(effects) + len(observations.orders),
        wrong(),
    )


def effect_as_ordered(observations: Observations) -> Check:
    """I3: what moved for an order is what was ordered, per SKU."""

    def wrong() -> Iterator[str]:
        for row in observations.orders:
            moved = _totals(observations.moved.get(row.order_id, []))
            for operation, totals in moved.items():
                if totals != row.lines:
                    yield f"order {row.order_id}: ordered {row.lines}, {operation} {totals}"

    return check("I3", "What moves is what was ordered", len(observations.orders), wrong())


def release_undoes_own_hold(observations: Observations) -> Check:
    """I7: a release undoes a hold of the same order, once; a tombstone stops a late hold."""
    released = [order for order, state in observations.reservations.items() if state == "released"]

    def wrong() -> Iterator[str]:
        for order_id, movements in observations.moved.items():
            net: Counter[str] = Counter()
            for movement in sorted(movements, key=lambda m: m.number):
                net[movement.sku] += (
                    movement.quantity if movement.operation == "reserve" else -movement.quantity
                )
                if net[movement.sku] < 0:
                    yield f"order {order_id}: {movement.operation} of {movement.sku} without a hold"
            state = observations.reservations.get(order_id)
            leftover = {sku: pieces for sku, pieces in net.items() if pieces > 0}
            if leftover and state != "held":
                yield f"order {order_id}: is {state} but still holds {leftover}"
        for row in observations.orders:
            if row.status in ("cancelled", "failed", "rejected"):
                state = observations.reservations.get(row.order_id)
                if state in ("held", "committed"):
                    yield f"order {row.order_id}: {row.status}, but the warehouse has it {state}"

    return check(
        "I7",
        "A release undoes its own order's hold, once, and no late hold follows it",
        len(released) + len(observations.moved),
        wrong(),
    )


def no_oversell(observations: Observations) -> Check:
    """I8: at no point of the ledger are more pieces held or gone than there were."""
    by_sku: defaultdict[str, list[Movement]] = defaultdict(list)
    for movement in observations.movements:
        by_sku[movement.sku].append(movement)

    def wrong() -> Iterator[str]:
        for sku, movements in by_sku.items():
            free = 0
            for movement in sorted(movements, key=lambda m: m.number):
                if movement.operation in (*_ADDS, "release"):
                    free += movement.quantity
                elif movement.operation == "reserve":
                    free -= movement.quantity
                if free < 0:
                    yield f"{sku}: {-free} more promised than there were (at {movement.number})"
                    break
        for shelf in observations.shelves:
            if shelf.on_hand < 0 or shelf.reserved < 0 or shelf.reserved > shelf.on_hand:
                yield f"{shelf.sku}: {shelf.on_hand} on hand, {shelf.reserved} reserved"

    return check("I8", "Nothing is sold that is not there", len(observations.movements), wrong())


def no_effect_without_request(observations: Observations) -> Check:
    """I12: every effect belongs to an order that was placed, every order to a request."""
    asked = {entry.order_id for entry in observations.history if entry.operation == "place"}
    wanted = {order.order_id: order for order in observations.planned}

    def wrong() -> Iterator[str]:
        for order_id in observations.reservations.keys() | observations.moved.keys():
            if order_id not in observations.by_id:
                yield f"the warehouse moved stock for {order_id}, which nobody ordered"
        for row in observations.orders:
            if str(row.order_id) not in asked:
                yield f"order {row.order_id} exists, but no client sent it"
            plan = wanted.get(row.order_id)
            if plan and row.lines != {line.sku: line.quantity for line in plan.lines}:
                yield f"order {row.order_id}: stored {row.lines}, the shopper sent something else"

    return check(
        "I12",
        "No effect without a request, and none other than the one requested",
        len(observations.reservations) + len(observations.orders),
        wrong(),
    )


def _of_orders(observations: Observations) -> Iterator[Movement]:
    return (m for m in observations.movements if m.operation in _OF_ORDERS)


def _totals(movements: list[Movement]) -> dict[str, dict[str, int]]:
    totals: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for movement in movements:
        of_operation = totals[movement.operation]
        of_operation[movement.sku] = of_operation.get(movement.sku, 0) + movement.quantity
    return dict(totals)
