"""Rules for clients of POST /v1/orders: when an Idempotency-Key may be given up.

For whoever places orders: the shop, the command line, load generators, integrators. A key that is
given up too early buys the same thing again.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

# The key's order has other lines than those just sent.
REUSED = "key-reused"
_OURS = "/problems/"


def members_of(content: bytes) -> dict[str, Any]:
    """Return what an answer says; nothing if it is no JSON object, but some proxy's page."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_definite(status: int | None, body: Mapping[str, Any], order_id: UUID) -> bool:
    """Tell whether this answer says what became of the order with this id.

    It does if it says that the order exists. Then, and only then, its key may be given up. Any
    other answer (that this try stored nothing, a 401 after a change of keys, a 404 or 408 of some
    proxy, another order's) leaves open what an earlier try has stored, or will: no look at the
    orders sees a commit under way, or a request that is still to arrive.
    """
    if str(body.get("order_id")) != str(order_id):
        return False
    if status == 409:  # with an order's id it has ended; an older release gave one to this, too
        return _is_ours(body) and _slug(body) != "price-changed"
    return status in (201, 202) or (status == 422 and _is_ours(body) and _slug(body) == REUSED)


def stored_nothing(status: int, body: Mapping[str, Any]) -> bool:
    """Tell whether the service itself says that this one try stored nothing; earlier ones may have.

    A proxy's word does not count: it may have passed the request on.
    """
    return _is_ours(body) and (400 <= status < 500 or _slug(body) == "not-stored")


def _is_ours(body: Mapping[str, Any]) -> bool:
    return str(body.get("type", "")).startswith(_OURS)


def _slug(body: Mapping[str, Any]) -> str:
    return str(body.get("type", "")).removeprefix(_OURS)
