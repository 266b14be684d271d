"""Each order has one workflow id, and what is no order's id is nobody's."""

from uuid import UUID

import pytest

from workflows.contracts import order_of, workflow_id

# Made once: tests that run side by side must have the same names everywhere.
ORDER = UUID("6f0b3a0e-6f55-4c55-9d3f-0d6a3b7f2c11")


def test_an_order_is_found_by_the_id_of_its_workflow() -> None:
    assert order_of(workflow_id(ORDER)) == ORDER


@pytest.mark.parametrize("workflow", ["", "order-", "order-7", f"orders-{ORDER}", str(ORDER)])
def test_a_workflow_of_somebody_else_is_no_orders(workflow: str) -> None:
    assert order_of(workflow) is None
