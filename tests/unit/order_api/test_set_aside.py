"""Orders that the relay cannot drive stay visible until they can be driven."""

from uuid import uuid4

from order_api.set_aside import NAMED, SetAside


async def test_health_names_what_was_put_aside_newest_first_and_why() -> None:
    aside = SetAside()
    assert (await aside.none()).status == "pass"
    first, second = uuid4(), uuid4()
    aside.add(first, ValueError("an address, perhaps"))
    aside.add(second, LookupError())
    found = await aside.none()
    assert (found.status, found.value, found.unit) == ("warn", 2, "orders")
    assert f"{second} (LookupError), {first} (ValueError)" in found.output
    assert "address" not in found.output, "an error's text may hold what is nobody's business"
    assert aside.orders == {first, second}


async def test_one_that_is_met_again_counts_once_with_its_latest_reason() -> None:
    aside = SetAside()
    order, other = uuid4(), uuid4()
    aside.add(order, ValueError())
    aside.add(other, ValueError())
    aside.add(order, TypeError())
    found = await aside.none()
    assert found.value == 2
    assert f"{order} (TypeError), {other} (ValueError)" in found.output


async def test_what_is_driven_after_all_is_not_spoken_of_any_more() -> None:
    aside = SetAside()
    order = uuid4()
    aside.add(order, ValueError())
    aside.discard(order)
    aside.discard(uuid4())  # one that was never put aside
    assert (await aside.none()).value == 0
    assert aside.orders == frozenset()


async def test_a_crowd_is_counted_and_its_newest_are_named() -> None:
    aside = SetAside()
    orders = [uuid4() for _ in range(NAMED + 1)]
    for order in orders:
        aside.add(order, ValueError())
    found = await aside.none()
    assert found.value == NAMED + 1
    assert found.output.endswith(", …")
    assert [str(order) in found.output for order in orders] == [False] + [True] * NAMED
