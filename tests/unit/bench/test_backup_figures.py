"""What the sections about backups work out of what was measured."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from backup.reconcile.contracts import ReconcileReport, Rule
from backup.restore.restore import Restored
from backup.restore.sources import Offer
from bench.harness.backups import since_first_base
from bench.harness.load import CLIENT_TIMEOUT_S, Answers, Shoppers, _Order, _Outcome
from bench.sections.backup import p95_ms
from bench.sections.restore import per_hundred_thousand, wrong
from tests.support.small_capsules import reach

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RESTORED = Restored(
    offer=Offer(what="a capsule", reach=reach(), up_to=NOW, latest=NOW),
    rows={},
    differences=(),
    call_spent_of=date(2026, 3, 1),
    seconds=1.0,
)
REPORT = ReconcileReport(
    dry_run=False,
    began_at=NOW,
    seconds=1.0,
    orders=1000,
    reservations=1000,
    open_orders=0,
    repaired={},
    for_people=(),
    for_people_count=0,
    decided=0,
    violations=(),
    violations_count=0,
)


def answers(*latencies_s: float) -> Answers:
    found = Answers()
    for latency_s in latencies_s:
        found.add(latency_s, 201, 0.0)
    return found


def test_a_percentile_of_two_runs_is_that_of_all_their_answers() -> None:
    quick, slow = answers(*[0.01] * 95), answers(*[0.5] * 5)
    assert p95_ms([quick, slow]) == 10.0
    assert p95_ms([quick, slow, answers(0.5)]) == 500.0


def test_an_order_that_was_refused_during_a_backup_makes_it_slow() -> None:
    refused = answers(0.01)
    refused.add(0.001, 503, 0.0)
    assert p95_ms([refused]) == 1000 * CLIENT_TIMEOUT_S


@pytest.mark.parametrize(("orders", "share"), [(1_000_000, 5.0), (100_000, 50.0), (50_000, 100.0)])
def test_a_figure_is_shared_out_by_hundreds_of_thousands(orders: int, share: float) -> None:
    assert per_hundred_thousand(50.0, orders) == share


@pytest.mark.parametrize(("orders", "new"), [(1_000_000, 100_000), (2000, 200), (5, 1), (0, 0)])
def test_a_tenth_of_the_orders_is_in_the_log(orders: int, new: int) -> None:
    assert since_first_base(orders) == new


def test_a_restore_is_right_if_all_is_back_and_nothing_had_to_be_repaired() -> None:
    assert wrong(RESTORED, REPORT, 1000) == ""


@pytest.mark.parametrize(
    ("restored", "report", "said"),
    [
        (RESTORED.model_copy(update={"differences": ("a row is gone",)}), REPORT, "a row is gone"),
        (RESTORED, REPORT.model_copy(update={"orders": 999}), "999 orders of 1,000"),
        (
            RESTORED,
            REPORT.model_copy(update={"repaired": {Rule.SHIP_UNKNOWN: 3}}),
            f"3 repaired: {Rule.SHIP_UNKNOWN}",
        ),
        (
            RESTORED,
            REPORT.model_copy(update={"violations": ("stock is off",), "violations_count": 1}),
            "stock is off",
        ),
        (
            RESTORED,
            REPORT.model_copy(update={"for_people_count": 2}),
            "2 for a person to decide",
        ),
    ],
)
def test_whatever_is_not_as_it_was_is_said(
    restored: Restored, report: ReconcileReport, said: str
) -> None:
    assert said in wrong(restored, report, 1000)


class TakenAtOnce(Shoppers):
    """Customers of a service that takes every order."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 1, lambda who: who)
        self.placed: list[UUID] = []

    async def _place(self, order: _Order) -> _Outcome:
        self.placed.append(order.order_id)
        return _Outcome(201, definite=True)


async def test_orders_are_sent_for_as_long_as_they_are_to_go_on() -> None:
    shoppers = TakenAtOnce()
    found = await shoppers.open_model(2000.0, 60.0, goes_on=lambda: len(shoppers.placed) < 10)
    assert 10 <= len(found.latencies_s) == len(shoppers.placed) == found.sent
    assert found.lasted_s < 10.0
    assert (await shoppers.open_model(500.0, 0.1)).lasted_s == 0.1
