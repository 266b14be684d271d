"""The OpenAPI documents, taken at their word: whatever they allow is sent, and what they promise
has to come back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import inventory_api.main
import inventory_api.seed
import order_api.main
from deploy.local.ports import free_port
from order_api.contracts import order_id_for
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.serving import (
    PATIENT,
    bearer,
    inventory_settings,
    order_settings,
    serve_inventory,
    serve_orders,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
if TYPE_CHECKING:  # generic for the type checker only
    Case = schemathesis.Case[Any]
else:
    Case = schemathesis.Case

bounded = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


NOWHERE = f"127.0.0.1:{free_port()}"
# The documents need no running service.
inventory = schemathesis.openapi.from_dict(
    inventory_api.main.create_app(inventory_settings("postgresql://nowhere")).openapi()
)
orders = schemathesis.openapi.from_dict(
    order_api.main.create_app(order_settings("postgresql://nowhere", NOWHERE)).openapi()
)


@pytest.fixture(scope="module")
def inventory_url(loop_thread: EventLoopThread, databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        loop_thread.run(inventory_api.seed.seed(dsn))
        with serve_inventory(dsn, **PATIENT) as served:
            body = {"lines": [{"sku": KNOWN_SKUS[0], "quantity": 1}]}
            url = f"{served.url}/v1/reservations/{KNOWN_ORDER}"
            httpx.put(url, json=body, headers=bearer("service"), timeout=30).raise_for_status()
            yield served.url


@pytest.fixture(scope="module")
def orders_url(databases: Databases) -> Iterator[str]:
    """Without Temporal, and without waiting for it: 202 at once."""
    with databases.fresh("orders") as dsn, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", NOWHERE)
        with serve_orders(dsn, f"http://{NOWHERE}", patient=True, answer_budget_s=0) as served:
            body = {"lines": [{"sku": KNOWN_SKUS[0], "quantity": 1}]}
            who = bearer() | {"Idempotency-Key": "known"}
            httpx.post(
                f"{served.url}/v1/orders", json=body, headers=who, timeout=30
            ).raise_for_status()
            yield served.url


KNOWN_ORDER = order_id_for("alice", "known")
KNOWN_SKUS = list(inventory_api.seed.FIRST_DELIVERY)


def meet_what_is_there(case: Case) -> None:
    """Point half of what was drawn at real orders and goods, or all would be unknown."""
    drawn = str(case.path_parameters)
    if "order_id" in case.path_parameters and len(drawn) + drawn.count("a") & 1:
        case.path_parameters["order_id"] = str(KNOWN_ORDER)
    if "sku" in case.path_parameters and len(drawn) & 1:
        case.path_parameters["sku"] = KNOWN_SKUS[0]
    lines = case.body.get("lines") if isinstance(case.body, dict) else None
    for line, sku in zip(lines if isinstance(lines, list) else (), KNOWN_SKUS, strict=False):
        if isinstance(line, dict) and "sku" in line:
            line["sku"] = sku


@inventory.parametrize()
@bounded
def test_inventory_api_does_what_its_document_says(case: Case, inventory_url: str) -> None:
    meet_what_is_there(case)
    case.call_and_validate(
        base_url=inventory_url, headers=bearer("staff"), checks=CHECKS, timeout=30
    )


@orders.parametrize()
@bounded
def test_order_api_does_what_its_document_says(case: Case, orders_url: str) -> None:
    meet_what_is_there(case)
    case.call_and_validate(base_url=orders_url, headers=bearer(), checks=CHECKS, timeout=30)
