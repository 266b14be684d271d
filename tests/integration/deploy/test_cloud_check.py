"""`valerix cloud check` against deployments on loopback: a sound one, and each mistake planted."""

import dataclasses
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from deploy.cli.__main__ import app
from deploy.cloud_check.outcome import CheckOutcome
from deploy.cloud_check.run import check
from deploy.cloud_check.site import KNOWN_KEYS, Site
from deploy.local.ports import free_port
from tests.support.order_stack import OrderStack
from tests.support.pretend_shop import Authority, PretendShop, passing_on, redirecting, served
from tests.support.serving import token as token_of

if shutil.which("openssl") is None:
    pytest.skip("There is no openssl to make certificates with.", allow_module_level=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@contextmanager
def deployed(shop: PretendShop, authority: Authority) -> Iterator[Site]:
    """Serve the shop as a deployment does, with nothing open besides; yields what to check."""
    with (
        served(shop.answer, authority.context()) as port,
        served(redirecting(port)) as plain_port,
    ):
        yield site(port, authority, token=shop.token(), plain_port=plain_port)


def site(port: int, authority: Authority, *, token: str = "", plain_port: int) -> Site:
    return Site(
        url=httpx.URL(f"https://localhost:{port}"),
        token=token,
        ca_file=authority.ca_file,
        closed_ports={free_port(): "a database"},
        plain_port=plain_port,
    )


def outcomes(of: Site) -> dict[str, CheckOutcome]:
    return {outcome.check: outcome for outcome in check(of)}


def failed(found: Mapping[str, CheckOutcome]) -> set[str]:
    return {name for name, outcome in found.items() if outcome.status == "fail"}


def test_a_sound_deployment_passes(authority: Authority) -> None:
    with deployed(PretendShop(), authority) as sound:
        found = outcomes(sound)
    assert {outcome.status for outcome in found.values()} == {"pass"}, found
    assert "Tests" in found["certificate"].seen


def test_planted_an_open_port(authority: Authority) -> None:
    with (
        deployed(PretendShop(), authority) as sound,
        closing(socket.create_server(("127.0.0.1", 0))) as database,
    ):
        port = database.getsockname()[1]
        found = outcomes(dataclasses.replace(sound, closed_ports={port: "Postgres"}))
    assert failed(found) == {"ports"}
    assert f"{port} (Postgres)" in found["ports"].seen


def test_planted_no_tls(authority: Authority) -> None:
    shop = PretendShop()
    with served(shop.answer) as port:
        found = outcomes(site(port, authority, token=shop.token(), plain_port=port))
    assert failed(found) == {"certificate", "redirect"}
    assert found["order"].status == "skip"
    # the token went nowhere: it is sent only where nobody can read it on its way
    assert not any("authorization" in request.headers for request in shop.sent)


def test_planted_faults_on(authority: Authority) -> None:
    with deployed(PretendShop(fault_injection=True), authority) as planted:
        assert failed(outcomes(planted)) == {"faults"}


def test_planted_a_default_secret(authority: Authority) -> None:
    for key in KNOWN_KEYS.values():
        with deployed(PretendShop(key=key), authority) as planted:
            assert failed(outcomes(planted)) == {"keys"}


def test_planted_a_wrong_clock(authority: Authority) -> None:
    with deployed(PretendShop(ahead_s=-90.0), authority) as planted:
        found = outcomes(planted)
    assert failed(found) == {"clock"}
    assert "behind" in found["clock"].seen


def test_a_certificate_is_believed_only_from_an_authority_and_for_its_name(
    authority: Authority, tmp_path: Path
) -> None:
    shop = PretendShop()
    with served(shop.answer, authority.context()) as port:
        stranger = Site(httpx.URL(f"https://localhost:{port}"), closed_ports={}, plain_port=port)
        assert "not trusted" in outcomes(stranger)["certificate"].seen
    other = Authority.make(tmp_path, name="elsewhere.example.com")
    with served(shop.answer, other.context()) as port:
        found = outcomes(site(port, other, plain_port=port))
    assert "not trusted" in found["certificate"].seen
    assert found["page"].status == "skip"
    assert not shop.sent


def test_where_nobody_is_it_says_so_and_ends(authority: Authority) -> None:
    began = time.monotonic()
    found = outcomes(site(free_port(), authority, plain_port=free_port()))
    assert failed(found) == {"certificate"}
    assert found["redirect"].status == found["ports"].status == "pass"
    assert time.monotonic() - began < 20.0


def test_the_command_prints_each_check_and_tells_by_its_exit_code(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALERIX_HOME", str(tmp_path / "none"))
    shop = PretendShop(fault_injection=True)
    with served(shop.answer, authority.context()) as port:
        said = CliRunner().invoke(
            app,
            [
                *("cloud", "check", f"localhost:{port}"),
                *("--token-file", "-", "--ca", str(authority.ca_file)),
            ],
            input=shop.token(),
        )
    lines = said.output.splitlines()
    assert said.exit_code == 1, said.output
    assert any(line.split()[:2] == ["fail", "faults"] for line in lines)
    assert any(line.split()[:2] == ["pass", "order"] for line in lines)
    assert shop.token() not in said.output


def test_an_order_of_the_real_service_is_followed_until_it_is_shipped(
    authority: Authority, working_stack: OrderStack
) -> None:
    shop = PretendShop()
    answer = passing_on(shop, working_stack.orders.url)
    with served(answer, authority.context()) as port:
        real = site(port, authority, token=token_of("shopper"), plain_port=free_port())
        found = outcomes(real)
    # its key is one of those that everybody can read
    assert failed(found) == {"keys"}
    assert "shipped" in found["order"].seen
