"""Check that places an order and follows it until it is shipped."""

import time
import uuid

import httpx

from activities.contracts import TERMINAL
from deploy.cloud_check.outcome import CheckOutcome, failed, passed, skipped
from deploy.cloud_check.services import PRODUCTS
from deploy.cloud_check.site import Site
from order_api.client_rules import members_of

CHECK = "order"
# Longer than a proxy takes to find another replica; an order is safe to send again under its key.
PLACE_WITHIN_S = 30.0
SHIP_WITHIN_S = 60.0
_POLL_INTERVAL_S = 0.5
_RUNBOOK = "docs/runbook.md, An order is stuck"
_ANOTHER = "name another SKU with --sku"


def check(site: Site, client: httpx.Client) -> CheckOutcome:
    """Return whether an order for one piece is shipped; without a token, none is placed."""
    if not site.token:
        return skipped(CHECK, "no token was given, so no order was placed", "see --help")
    started = time.monotonic()
    listed = client.get(PRODUCTS, headers=site.with_token())
    if listed.status_code != httpx.codes.OK:
        return failed(
            CHECK,
            f"the catalogue answers {_in_words(listed)}",
            "is the token good, and not expired? On the machine: valerix-token",
        )
    sku = site.sku or _first_on_sale(listed)
    if sku is None:
        return skipped(CHECK, "nothing is on sale", "put something in the catalogue")
    answer = _placed(site, client, sku)
    if answer.status_code == httpx.codes.CONFLICT:
        return skipped(CHECK, f"{sku}: {_in_words(answer)}", _ANOTHER)
    if answer.status_code not in {httpx.codes.CREATED, httpx.codes.ACCEPTED}:
        return failed(CHECK, f"it was not taken: {_in_words(answer)}", "see the log of order_api")
    order_id = str(members_of(answer.content).get("order_id"))
    status = _followed(site, client, order_id)
    took = time.monotonic() - started
    if status == "shipped":
        return passed(CHECK, f"{order_id}, one {sku}: shipped after {took:.1f} s")
    if status == "rejected":  # it went all the way, and the warehouse had none left
        return skipped(CHECK, f"{order_id}, one {sku}: not taken", _ANOTHER)
    return failed(CHECK, f"{order_id}, one {sku}: {status} after {took:.0f} s", _RUNBOOK)


def _first_on_sale(listed: httpx.Response) -> str | None:
    items = members_of(listed.content).get("items")
    found = (each for each in items if isinstance(each, dict)) if isinstance(items, list) else ()
    return next((str(each["sku"]) for each in found if "sku" in each), None)


def _placed(site: Site, client: httpx.Client, sku: str) -> httpx.Response:
    """Return the answer to the order, sent again under its key while there is no good one."""
    headers = {**site.with_token(), "Idempotency-Key": f"cloud-check-{uuid.uuid4()}"}
    body = {"lines": [{"sku": sku, "quantity": 1}]}
    end = time.monotonic() + PLACE_WITHIN_S
    while True:
        try:
            answer = client.post("/v1/orders", headers=headers, json=body)
            if not (answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS):
                return answer
            if time.monotonic() > end:
                return answer
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
        time.sleep(_POLL_INTERVAL_S)


def _followed(site: Site, client: httpx.Client, order_id: str) -> str:
    """Return the status that the order ends with, or has when the time is up."""
    end = time.monotonic() + SHIP_WITHIN_S
    status = "unknown"
    while status not in TERMINAL and time.monotonic() < end:
        answer = client.get(f"/v1/orders/{order_id}", headers=site.with_token())
        status = str(members_of(answer.content).get("status", status))
        if status not in TERMINAL:
            time.sleep(_POLL_INTERVAL_S)
    return status


def _in_words(answer: httpx.Response) -> str:
    problem = members_of(answer.content)
    return (
        f"{answer.status_code} {problem.get('title') or ''} {problem.get('detail') or ''}".strip()
    )
