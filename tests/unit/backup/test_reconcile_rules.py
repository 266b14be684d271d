"""Rules of reconciling: what is done for each way in which two databases can disagree."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from backup.reconcile.contracts import OrderSide, Rule, StockSide
from backup.reconcile.rules import ADVICE, FOR_PEOPLE, REPAIRS, WORDS, judge

ID = UUID(int=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATES = (None, "held", "committed", "released", "refused")


def order(status: str, *, cancelling: bool = False, is_new: bool = False) -> OrderSide:
    return OrderSide(ID, status, b"lines", cancelling, NOW, is_new)


def stock(
    state: str, digest: bytes | None = b"lines", *, is_new: bool = False, after_s: float = 1.0
) -> StockSide:
    return StockSide(ID, state, digest, NOW + timedelta(seconds=after_s), is_new)


def found(status: str, state: str | None) -> Rule | None:
    return judge(order(status), None if state is None else stock(state))


@pytest.mark.parametrize(
    ("status", "rules"),
    [
        ("received", (Rule.HOLD_OPEN, None, None, Rule.CANCEL_OPEN, None)),
        ("reserved", (Rule.HOLD_OPEN, None, None, Rule.CANCEL_OPEN, None)),
        (
            "shipped",
            (
                Rule.SHIP_UNKNOWN,
                Rule.SHIP_HELD,
                None,
                Rule.SHIPPED_NOT_HELD,
                Rule.SHIPPED_NOT_HELD,
            ),
        ),
        (
            "rejected",
            (Rule.REFUSE_REJECTED, Rule.RELEASE_ENDED, Rule.COMMITTED_ENDED, None, None),
        ),
        ("cancelled", (Rule.BAR_ENDED, Rule.RELEASE_ENDED, Rule.COMMITTED_ENDED, None, None)),
        ("failed", (Rule.BAR_ENDED, Rule.RELEASE_ENDED, Rule.COMMITTED_ENDED, None, None)),
        ("delivered", (None, None, None, None, None)),  # of a later release
    ],
)
def test_goods_follow_the_order(status: str, rules: tuple[Rule | None, ...]) -> None:
    assert tuple(found(status, state) for state in STATES) == rules


def test_what_nobody_ordered_is_given_back_unless_it_has_left() -> None:
    assert [judge(None, None if state is None else stock(state)) for state in STATES] == [
        None,
        Rule.RELEASE_UNORDERED,
        Rule.COMMITTED_UNORDERED,
        None,
        None,
    ]


def test_an_order_that_is_being_carried_out_is_left_alone() -> None:
    assert judge(order("received", is_new=True), None) is None
    assert judge(order("reserved", is_new=True), None) is Rule.HOLD_OPEN
    assert judge(order("reserved", cancelling=True), None) is None
    assert judge(order("reserved"), stock("released", is_new=True)) is None
    assert judge(order("reserved", cancelling=True), stock("released")) is None
    assert judge(order("reserved", cancelling=True), stock("held", is_new=True)) is None


def test_what_is_held_for_an_order_to_be_cancelled_is_given_back() -> None:
    assert judge(order("reserved", cancelling=True), stock("held")) is Rule.RELEASE_CANCELLED


def test_a_release_before_the_order_was_placed_is_not_its_cancel() -> None:
    assert judge(order("received"), stock("released", after_s=-1.0)) is None


def test_other_lines_than_ordered_are_never_committed() -> None:
    other = b"other lines"
    assert judge(order("shipped"), stock("held", other)) is Rule.OTHER_LINES
    assert judge(order("shipped"), stock("committed", other)) is Rule.OTHER_LINES
    assert judge(order("received"), stock("committed", other)) is Rule.OTHER_LINES
    assert judge(order("received"), stock("held", other)) is None
    assert judge(order("cancelled"), stock("held", other)) is Rule.RELEASE_ENDED


def test_every_rule_is_carried_out_or_for_people_and_has_words() -> None:
    assert {*REPAIRS, *FOR_PEOPLE, Rule.END_WORKFLOW} == set(Rule) == set(WORDS)
    assert set(ADVICE) == set(FOR_PEOPLE)
