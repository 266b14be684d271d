"""What a text typed into the search for orders may mean."""

from uuid import UUID

import pytest

from order_api.search import search_for

NUMBER = UUID("0190d5a8-4c1e-7d2b-9a3f-5b6c7d8e9f00")


@pytest.mark.parametrize(
    "text", [str(NUMBER), f"order-{NUMBER}", NUMBER.hex, str(NUMBER).upper(), f"  {NUMBER}  "]
)
def test_a_whole_number_stands_for_one_order_however_it_is_written(text: str) -> None:
    found = search_for(text)
    assert (found.first, found.last) == (NUMBER, NUMBER)


@pytest.mark.parametrize("text", ["0190", "0190d5a8", "0190D5A8-4c1e", "order-0190d5"])
def test_the_beginning_of_a_number_stands_for_all_orders_that_begin_so(text: str) -> None:
    found = search_for(text)
    assert found.first is not None
    assert found.last is not None
    assert found.first <= NUMBER <= found.last
    digits = text.lower().removeprefix("order-").replace("-", "")
    assert (found.first.hex, found.last.hex) == (digits.ljust(32, "0"), digits.ljust(32, "f"))


@pytest.mark.parametrize("text", ["019", f"{NUMBER.hex}0", "mug", "0190xyz", "%"])
def test_what_cannot_begin_a_number_stands_for_none(text: str) -> None:
    assert (search_for(text).first, search_for(text).last) == (None, None)


@pytest.mark.parametrize(
    ("text", "sku"),
    [
        ("MUG-BLUE", "MUG-BLUE"),
        (" mug-blue ", "MUG-BLUE"),
        ("0190", "0190"),  # both: SKUs can look like numbers
        ("blue mug", None),
        ("-MUG", None),
        ("A" * 65, None),
    ],
)
def test_a_sku_is_known_by_its_form_on_sale_or_not(text: str, sku: str | None) -> None:
    assert search_for(text).sku == sku


def test_a_text_that_postgres_cannot_hold_is_searched_without_its_nuls() -> None:
    assert search_for("mug\x00blue").text == "mug\ufffdblue"
