"""What an answer to POST /v1/orders says of one order: the rule for giving up an Idempotency-Key.

For whoever places orders: the shop, the command line, load generators, integrators. A key that is
given up too early buys the same thing again.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

_OURS = "/problems/"


def is_definite(status: int | None, body: Mapping[str, Any], order_id: UUID) -> bool:
    """Tell whether this answer says what became of the order with this id.

    Then, and only then, its key may be given up. Any other answer (a 401 after a change of keys, a
    404 or 408 of some proxy, another order's) leaves open what an earlier try has stored.
    """
    if str(body.get("order_id")) != str(order_id):
        return False
    return status in (201, 202) or (status in (409, 422) and _is_ours(body))


def stored_nothing(status: int, body: Mapping[str, Any]) -> bool:
    """Tell whether the service itself says that this one try stored nothing; earlier ones may have.

    A proxy's word does not count: it may have passed the request on.
    """
    slug = str(body.get("type", "")).removeprefix(_OURS)
    return _is_ours(body) and (400 <= status < 500 or slug == "not-stored")


def _is_ours(body: Mapping[str, Any]) -> bool:
    return str(body.get("type", "")).startswith(_OURS)
