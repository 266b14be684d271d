"""The checks of a deployment from outside: what each one says, and of what it says nothing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from chaos.injection import admin_client
from deploy.cli import cloud_check
from deploy.cli.__main__ import app
from deploy.cloud_check import certificate, front_page, order, plain_http, services
from deploy.cloud_check.outcome import CheckOutcome
from deploy.cloud_check.run import ASKED, ON_THE_PAGE, over_https
from deploy.cloud_check.site import CLOSED_PORTS, KNOWN_KEYS, Site, address
from deploy.local.errors import StartRefused
from deploy.local.settings import Ports
from service_kit.process.settings import MIN_TOKEN_KEY_BYTES
from tests.support.pretend_shop import Answer, PretendShop
from tests.support.serving import TOKEN_KEY

DAY_S = 86_400.0
SITE = Site(address("shop.example.com"))


def looked_at(
    shop: PretendShop, answer: Answer | None = None, token: str | None = None
) -> dict[str, str]:
    """Return the status of each check that talks to the shop, whose own token we have."""
    site = dataclasses.replace(SITE, token=shop.token() if token is None else token)
    transport = httpx.MockTransport(answer or shop.answer)
    with httpx.Client(transport=transport, base_url=site.url) as client:
        return {outcome.check: outcome.status for outcome in over_https(site, client)}


def fails(found: dict[str, str]) -> set[str]:
    return {check for check, status in found.items() if status == "fail"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_POLL_INTERVAL_S", 0.0)


def test_a_sound_shop_passes_every_check() -> None:
    shop = PretendShop()
    found = looked_at(shop)
    assert found == dict.fromkeys([*ON_THE_PAGE, *ASKED], "pass")
    assert len(shop.orders) == 1


def test_without_a_token_nothing_is_ordered() -> None:
    shop = PretendShop()
    found = looked_at(shop, token="")
    assert {check for check, status in found.items() if status == "skip"} == {"order", "alert"}
    assert not shop.orders


@pytest.mark.parametrize(
    ("shop", "check"),
    [
        (PretendShop(fault_injection=True), "faults"),
        (PretendShop(key=TOKEN_KEY), "keys"),
        (PretendShop(ahead_s=3600.0), "clock"),
        (PretendShop(ahead_s=-3600.0), "clock"),
        (PretendShop(local=True), "cookies"),
        (PretendShop(alert={"state": "red", "reasons": ["slow"], "average_s": 1.4}), "alert"),
        (PretendShop(ends_as="failed"), "order"),
    ],
    ids=["faults", "key", "ahead", "behind", "local", "red", "order"],
)
def test_a_mistake_is_found_and_no_other(shop: PretendShop, check: str) -> None:
    assert fails(looked_at(shop)) == {check}


def test_an_order_is_sent_again_under_its_key() -> None:
    shop = PretendShop()
    troubles = iter([503, 502, 429])

    def now_and_then(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and (trouble := next(troubles, None)):
            shop.answer(request)  # it was carried out, and its answer was lost
            return httpx.Response(trouble)
        return shop.answer(request)

    assert looked_at(shop, now_and_then)["order"] == "pass"
    assert len(shop.orders) == 1
    assert sum(request.method == "POST" for request in shop.sent) == 4


def test_what_is_sold_out_or_not_sold_says_nothing_of_the_shop() -> None:
    assert looked_at(PretendShop(ends_as="rejected"))["order"] == "skip"
    assert looked_at(PretendShop(on_sale=()))["order"] == "skip"


def test_a_token_that_is_refused_is_a_failure() -> None:
    assert fails(looked_at(PretendShop(), token="another")) == {"order", "alert"}


def test_another_site_is_told_from_a_shop() -> None:
    found = looked_at(PretendShop(), lambda _: httpx.Response(200, text="It works!"))
    assert {"page", "keys", "alert"} <= fails(found)
    assert found["faults"] == found["order"] == "skip"


def test_a_site_that_ends_its_connections_fails_without_ending_the_check() -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut")

    assert fails(looked_at(PretendShop(), cut)) == {"page", *ASKED}


def test_details_of_health_are_told_if_the_site_tells_them() -> None:
    def answered(body: object) -> CheckOutcome:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
        with httpx.Client(transport=transport, base_url=SITE.url) as client:
            return services.health(SITE, client)

    wrong = {"postgres:tables": [{"status": "fail", "output": "no table"}], "odd": "?"}
    failing = answered({"status": "fail", "checks": wrong})
    assert (failing.status, failing.seen) == ("fail", "postgres:tables: no table")
    assert answered({"status": "warn", "service": "ui", "checks": wrong}).status == "pass"


@pytest.mark.parametrize(
    ("date", "asked_at", "answered_at", "offset"),
    [
        (1000, 1000.4, 1000.6, 0.0),  # the same second
        (1000, 1000.9, 1001.3, 0.0),  # a second that has ended meanwhile
        (1010, 1000.0, 1004.0, 6.0),  # at least: it may have been written just before we had it
        (1000, 1011.0, 1012.0, -10.0),
    ],
)
def test_the_least_offset_allows_for_whole_seconds_and_the_way(
    date: float, asked_at: float, answered_at: float, offset: float
) -> None:
    assert front_page.least_offset(date, asked_at, answered_at) == pytest.approx(offset)


@pytest.mark.parametrize("life_days", [90, 6])
def test_a_certificate_that_was_not_renewed_in_time_is_a_failure(life_days: int) -> None:
    life_s = life_days * DAY_S
    found = certificate.Certificate("An authority", 0.0, life_s)
    assert certificate.judge(found, 0.75 * life_s).status == "pass"
    late = certificate.judge(found, 0.9 * life_s)
    assert late.status == "fail"
    assert f"of its {life_days} days left" in late.seen


def test_an_address_without_tls_is_a_failure_of_the_certificate() -> None:
    found = certificate.presented(Site(address("http://shop.example.com")))
    assert certificate.judge(found, 0.0).status == "fail"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (httpx.Response(308, headers={"location": "https://shop.example.com/"}), "pass"),
        (httpx.Response(308, headers={"location": "https://elsewhere.example.com/"}), "fail"),
        (httpx.Response(308, headers={"location": "http://shop.example.com/shop"}), "fail"),
        (httpx.Response(308, headers={"location": "https://[nonsense/"}), "fail"),
        (httpx.Response(200, text="the shop"), "fail"),
    ],
)
def test_plain_http_may_only_lead_to_https_of_the_same_name(
    answer: httpx.Response, status: str
) -> None:
    assert plain_http.judge(SITE, answer).status == status


def test_an_address_is_a_name_and_a_port() -> None:
    assert str(address("shop.example.com")) == "https://shop.example.com"
    assert Site(address("https://shop.example.com")).port == 443
    assert Site(address("https://shop.example.com:8443/")).port == 8443
    for wrong in ("ftp://shop", "https://", "https://shop/orders", "https://me@shop", "a b://"):
        with pytest.raises(ValueError, match=r"."):
            address(wrong)


def test_what_is_looked_for_is_what_there_is() -> None:
    assert services.FAULTS == admin_client.FAULTS
    assert TOKEN_KEY in KNOWN_KEYS.values()
    assert all(len(key.encode()) >= MIN_TOKEN_KEY_BYTES for key in KNOWN_KEYS.values())
    assert set(Ports().by_variable().values()) <= set(CLOSED_PORTS)


def test_a_token_comes_from_a_file_or_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cloud_check.TOKEN_VARIABLE, " secret\n")
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    assert cloud_check._token(None) == "secret"
    assert cloud_check._token(str(file)) == "from-a-file"
    assert "secret" not in repr(dataclasses.replace(SITE, token="secret", keys={"a": "secret"}))
    help_text = CliRunner().invoke(app, ["cloud", "check", "--help"]).output
    assert "--token-file" in help_text
    assert "--token " not in help_text


@pytest.mark.parametrize("wrong", [lambda _: b"two words", lambda _: b"\xff", lambda _: None])
def test_what_is_no_token_is_refused(tmp_path: Path, wrong: Callable[[Path], bytes | None]) -> None:
    file = tmp_path / "token"
    if (content := wrong(file)) is not None:
        file.write_bytes(content)
    with pytest.raises(StartRefused):
        cloud_check._token(str(file))


def test_what_a_server_says_moves_no_cursor() -> None:
    assert cloud_check._clean("\x1b[2Jall is well\r\n") == " [2Jall is well  "
