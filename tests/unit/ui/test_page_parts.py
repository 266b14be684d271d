"""What the pages are made of: carts, figures, charts and words."""

from pathlib import Path
from typing import Any

import pytest

from order_api.contracts import ResponseTime
from ui import labels
from ui.browser_storage import SharedFile
from ui.clients.metrics import MetricTotals, metric_totals
from ui.components import charts
from ui.components.operations_view import alert_tile, health_tiles
from ui.identity import Identity, Tokens, become_staff, shopper, staff, stop_being_staff
from ui.live.pollers import Operations, Sample, ServiceHealth, _health_of
from ui.pages.order import steps
from ui.shop.cart import MAX_PIECES, Cart, Sending


def test_a_key_is_there_before_the_first_click_and_stays_until_the_answer() -> None:
    browser: dict[str, Any] = {}
    cart = Cart(browser)
    cart.put("MUG", 2)
    key = cart.key
    assert cart.send(980, "EUR") == Sending(key, {"MUG": 2}, 980, again=False, currency="EUR")
    cart.put("MUG", 5)  # too late: what was sent is what will be sent again
    again = Cart(browser).send(1, "JPY")
    assert again == Sending(key, {"MUG": 2}, 980, again=True, currency="EUR")
    cart.ordered(cart.send(None))
    assert cart.lines == {}
    assert cart.sent is None
    assert cart.key != key


def test_a_refused_cart_keeps_its_contents_under_another_key() -> None:
    cart = Cart({})
    cart.put("MUG", 1)
    sent = cart.send(None)
    key = sent.key
    cart.refused(sent)
    assert (cart.lines, cart.sent) == ({"MUG": 1}, None)
    assert cart.key != key


def test_a_cart_in_doubt_can_be_changed_and_stays_in_doubt_under_its_key() -> None:
    cart = Cart({})
    cart.put("MUG", 1)
    first = cart.send(980)
    cart.untouched(first, in_doubt=True)
    cart.put("MUG", 2)
    second = cart.send(1960)
    assert second == Sending(first.key, {"MUG": 2}, 1960, again=True)
    cart.refused(second)
    assert not cart.send(1960).again


def test_two_replicas_keep_one_cart_of_a_browser(tmp_path: Path) -> None:
    here, there = (SharedFile(tmp_path / "storage-user-1.json") for _ in range(2))
    assert shopper(here, "session-1") == shopper(there, "session-1")  # before either was written
    one, other = Cart(here), Cart(there)
    one.put("MUG", 1)
    other.put("TEE", 2)
    assert one.lines == other.lines == {"MUG": 1, "TEE": 2}
    first, second = one.send(10), other.send(10)
    assert (first.key, first.lines) == (second.key, second.lines)
    assert second.again
    one.ordered(first)
    one.put("SOCKS", 1)
    other.ordered(second)  # the same answer, seen by both: the next cart is not lost
    assert one.lines == other.lines == {"SOCKS": 1}
    assert one.key == other.key != first.key


def test_a_cart_has_bounds() -> None:
    cart = Cart({})
    cart.put("MUG", 1000)
    assert cart.lines == {"MUG": MAX_PIECES}
    cart.put("MUG", -1)
    assert cart.lines == {}
    for number in range(60):
        cart.put(f"SKU-{number}", 1)
    assert len(cart.lines) == 50  # what one order may have


def test_counters_that_start_anew_lose_nothing() -> None:
    def page(retries: int) -> str:
        return (
            f'saga_step_attempts_total{{operation="reserve",retry="true"}} {retries}.0\n'
            'saga_step_attempts_total{operation="reserve",retry="false"} 900.0\n'
        )

    seen = metric_totals([page(3)], MetricTotals())
    seen = metric_totals([page(5)], seen)
    seen = metric_totals([""], seen)  # the worker is away
    seen = metric_totals([page(1)], seen)  # and back, counting from nought
    assert seen.retries == 6


def test_a_chart_lifts_the_pen_over_a_gap() -> None:
    drawn = charts.path([(30, 1.0), (20, None), (10, 0.5), (0, 0.5)], 60, 1.0)
    assert drawn.count("M") == 2
    assert drawn.count("L") == 1


@pytest.mark.parametrize(("highest", "top"), [(0.3, 1.0), (1.2, 2.0), (4.1, 5.0), (70, 100.0)])
def test_a_charts_scale_ends_at_a_round_number(highest: float, top: float) -> None:
    assert charts.top_of([highest, None], 1.0) == top


def test_thinning_keeps_the_peak_and_the_newest_point() -> None:
    points: list[charts.Point] = [
        (float(ago), 9.0 if ago == 7 else 1.0) for ago in range(20, -1, -1)
    ]
    thinned = charts.thinned(points, 5)
    assert (7.0, 9.0) in thinned
    assert thinned[-1] == (0.0, 1.0)
    assert len(thinned) <= 6


def response_time(state: str, average: float | None, **more: Any) -> ResponseTime:
    return ResponseTime(
        window_s=30,
        count=20,
        average_s=average,
        oldest_in_flight_s=0,
        state=state,
        threshold_s=1,
        **more,
    )


@pytest.mark.parametrize(
    ("state", "average", "words", "picture"),
    [
        ("green", 0.2, "Fast enough", "check_circle"),
        ("red", 1.2, "Too slow", "error"),
        ("no_data", None, "No orders", "remove_circle"),
    ],
)
def test_the_alert_shows_the_servers_verdict_with_words_and_icon(
    state: str, average: float | None, words: str, picture: str
) -> None:
    history = (Sample(99.0, 0.2), Sample(100.0, average))
    markup, spoken = alert_tile(
        Operations(at=100.0, response_time=response_time(state, average), history=history)
    )
    assert f"alert {state}" in markup
    assert words in markup
    assert picture in markup
    assert "limit 1 s" in markup
    assert words in spoken


@pytest.mark.parametrize(
    ("reasons", "words", "meaning"),
    [
        (["slow"], "Too slow", "wait too long"),
        (["failing"], "Failing", "could not take orders"),
        (["slow", "failing"], "Too slow and failing", "could not take orders"),
        (["haunted"], "Not well", "not well"),
    ],
)
def test_the_alert_says_why_it_is_red_and_whose_figures_it_shows(
    reasons: list[str], words: str, meaning: str
) -> None:
    reading = response_time(
        "red",
        0.01,
        reasons=reasons,
        failed=3,
        failed_share=0.15,
        failed_share_threshold=0.05,
        instance="desk-<1>:8101",
    )
    markup, spoken = alert_tile(Operations(at=100.0, response_time=reading))
    assert "alert red" in markup
    assert f"{words}</span>" in markup
    assert "20 orders in 30 s, <b>3 failed</b>" in markup
    assert "or when more than 5% of orders fail" in markup
    assert "Seen by desk-&lt;1&gt;:8101 alone." in markup
    assert f"Response time: {words}. " in spoken
    assert meaning in spoken
    assert "0.01" not in spoken  # said again whenever it changes


def test_the_alert_is_neutral_about_a_state_that_it_does_not_know() -> None:
    markup, spoken = alert_tile(Operations(at=100.0, response_time=response_time("<teal>", 0.2)))
    assert "alert gone" in markup
    assert "Unknown state" in spoken
    assert "teal" not in markup


def test_the_alert_is_grey_when_the_order_service_does_not_tell() -> None:
    markup, _ = alert_tile(Operations(at=100.0))
    assert "alert gone" in markup
    assert "No figures" in markup


def test_a_health_tile_names_what_fails_and_escapes_it() -> None:
    document = {
        "status": "fail",
        "checks": {"postgres:tables": [{"status": "fail", "output": "missing: <stock>"}]},
    }
    tiles = health_tiles([_health_of("inventory_api", document), ServiceHealth("worker")])
    assert "postgres:tables: missing: &lt;stock&gt;" in tiles
    assert "No answer" in tiles
    assert _health_of("ui", ["nonsense"]).status == "fail"


def test_browsers_are_shoppers_until_they_are_staff() -> None:
    browser: dict[str, Any] = {}
    alice = shopper(browser)
    assert shopper(browser) == alice
    assert shopper({}) != alice
    assert shopper({}, "a") == shopper({}, "a") != shopper({}, "b")
    assert staff(browser) is None
    become_staff(browser, "", 2**40)
    assert staff(browser) == Identity(alice.subject, "staff")
    stop_being_staff(browser)
    assert staff(browser) is None
    become_staff(browser, "", 1.0)  # long over
    assert staff(browser) is None


def test_tokens_are_made_once_an_hour() -> None:
    tokens = Tokens("k" * 32, "valerix")
    who = Identity("alice", "shopper")
    assert tokens.header(who) == tokens.header(who)
    assert tokens.header(who) != tokens.header(Identity("bob", "shopper"))


@pytest.mark.parametrize(
    ("number", "words"), [(0.0851, "85 ms"), (1.254, "1.25 s"), (12.34, "12.3 s"), (600, "10 min")]
)
def test_durations_are_in_peoples_units(number: float, words: str) -> None:
    assert labels.duration(number) == words


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [
        (149000, "EUR", "€1,490.00"),
        (5, "USD", "$0.05"),
        (-1490, "GBP", "-£14.90"),
        (100, "CHF", "CHF 1.00"),
        (149000, "JPY", "¥149,000"),
        (1490, "KWD", "KWD 1.490"),
        (1490, "CLF", "CLF 0.1490"),
        # locale data gives these no decimals; their minor units are a hundredth and a thousandth
        (149000, "RSD", "RSD 1,490.00"),
        (149000, "IQD", "IQD 149.000"),
        (2**63 - 1, "EUR", "€92,233,720,368,547,758.07"),
        (1490, "QQQ", "1,490 of QQQ's smallest unit"),
        (1490, "XXX", "1,490 of XXX's smallest unit"),
    ],
)
def test_money_has_the_decimals_of_its_currency(minor: int, currency: str, words: str) -> None:
    assert labels.money(minor, currency).replace("\N{NO-BREAK SPACE}", " ") == words


def test_counts_read_well() -> None:
    assert labels.count(1, "piece") == "1 piece"
    assert labels.count(2000, "piece") == "2,000 pieces"


def test_steps_say_in_words_how_far_an_order_is() -> None:
    assert steps("shipped").count("(done)") == 3
    assert "(next)" in steps("received")
    assert "(will not happen)" in steps("rejected")
