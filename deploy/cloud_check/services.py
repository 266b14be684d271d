"""Checks of the services behind the site: health, alert, faults, keys."""

from typing import Any

import httpx

from deploy.cloud_check.outcome import CheckOutcome, failed, passed, skipped
from deploy.cloud_check.site import Site, bearer
from order_api.client_rules import members_of
from service_kit.http.tokens import issue

PRODUCTS = "/v1/products"
FAULTS = "/v1/admin/faults"
RESPONSE_TIME = "/v1/ops/response-time"
_NO_API = "order_api does not answer under /v1 of this name"
_ROUTE_IT = "let the proxy send /v1 to order_api, or check the address that it has"


def health(site: Site, client: httpx.Client) -> CheckOutcome:
    """Return what the site says of itself, if it tells that to the outside."""
    answer = client.get("/health")
    found = members_of(answer.content)
    status = found.get("status")
    if status not in {"pass", "warn", "fail"}:
        return _readiness(client)
    wrong = "; ".join(_not_well(found))
    if status == "fail":
        return failed("health", wrong or "fail", "docs/runbook.md begins with the check that fails")
    return passed("health", f"{found.get('service', 'it')}: {status}{wrong and f' ({wrong})'}")


def _readiness(client: httpx.Client) -> CheckOutcome:
    """Return whether the pages can do their work: that, a proxy tells everybody."""
    status = client.get("/readyz").status_code
    if status == httpx.codes.OK:
        return passed("health", "ready; more is not told to the outside")
    return failed("health", f"/readyz answers {status}", "on the machine: docker compose ps")


def metrics(site: Site, client: httpx.Client) -> CheckOutcome:
    """Return whether the services' figures are kept from the outside."""
    answer = client.get("/metrics")
    if answer.status_code == httpx.codes.OK and "# TYPE" in answer.text:
        return failed("metrics", "/metrics is told to everybody", "let the proxy answer 404 there")
    return passed("metrics", "not told to the outside")


def _not_well(found: dict[str, Any]) -> list[str]:
    checks = found.get("checks")
    return [
        f"{name}: {each.get('output') or each.get('status')}"
        for name, results in (checks.items() if isinstance(checks, dict) else ())
        for each in (results if isinstance(results, list) else ())
        if isinstance(each, dict) and each.get("status") != "pass"
    ]


def faults(site: Site, client: httpx.Client) -> CheckOutcome:
    """Return whether fault injection is off: then the calls for it do not exist."""
    if client.get(PRODUCTS).status_code != httpx.codes.UNAUTHORIZED:
        return skipped("faults", _NO_API, _ROUTE_IT)
    status = client.get(FAULTS).status_code
    if status == httpx.codes.NOT_FOUND:
        return passed("faults", "fault injection is off")
    return failed(
        "faults",
        f"fault injection is on: {FAULTS} answers {status}",
        "ENVIRONMENT=production in .env, without FAULT_INJECTION, then start anew",
    )


def keys(site: Site, client: httpx.Client) -> CheckOutcome:
    """Return whether tokens that anybody could make are refused."""
    status = client.get(PRODUCTS).status_code
    if status == httpx.codes.OK:
        return failed("keys", "no token is needed at all", "this is not order_api, or not ours")
    if status != httpx.codes.UNAUTHORIZED:
        return skipped("keys", _NO_API, _ROUTE_IT)
    for whose, key in site.keys.items():
        token = issue(key, "cloud-check", "shopper", ttl_s=60)
        answer = client.get(PRODUCTS, headers=bearer(token))
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return failed(
                "keys",
                f"a token signed with {whose} is accepted ({answer.status_code})",
                "TOKEN_KEY and INVENTORY_TOKEN of a new .env (valerix env, in an empty folder) in"
                " place of those in use, then start anew; all tokens of before become void",
            )
    return passed("keys", f"{len(site.keys)} keys that others know are refused")


def alert(site: Site, client: httpx.Client) -> CheckOutcome:
    """Return whether the alert of the last 30 s is red."""
    if not site.token:
        return skipped("alert", "no token was given", "see --help")
    answer = client.get(RESPONSE_TIME, headers=site.with_token())
    found = members_of(answer.content)
    state = found.get("state")
    if state == "red":
        return failed(
            "alert",
            f"red: {found.get('reasons')}, {found.get('average_s')} s on average",
            "docs/runbook.md, The response-time tile is red",
        )
    if state in {"green", "no_data"}:
        return passed("alert", f"{state}, {found.get('count', 0)} orders in the last 30 s")
    return failed(
        "alert", f"{answer.status_code} instead of its state", "is the token good, and not expired?"
    )
