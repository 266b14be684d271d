"""The stand-in keeps one capsule for each UTC date of its clock, and counts every call."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from deploy.local.ports import free_port
from legacy_service.contracts import CallsOfDate, KeptCapsule, Misdeed, sha256_in
from tests.support.raw_http import connect, written
from tests.support.serving import TOKEN_KEY, bearer
from tests.support.trail.legacy import (
    DAY,
    LegacyStandIn,
    digest_of,
    put,
    serve_legacy,
    service_settings,
)

# A machine may stand still for some seconds; what is tested is what is answered.
WITHIN_S = 30.0


def get(legacy: LegacyStandIn, path: str) -> httpx.Response:
    headers = bearer("service")
    return httpx.get(f"{legacy.url}{path}", headers=headers, trust_env=False, timeout=WITHIN_S)


def calls(legacy: LegacyStandIn, day: date = DAY) -> int:
    return CallsOfDate.model_validate_json(get(legacy, f"/v1/calls/{day}").content).calls


def test_the_first_call_of_a_date_is_kept_and_the_next_is_refused(legacy: LegacyStandIn) -> None:
    content = os.urandom(3 * 1024 * 1024 + 1)  # far beyond what an order may have
    first = put(legacy.url, content)
    assert first.status_code == 201, first.text
    kept = KeptCapsule.model_validate_json(first.content)
    assert (kept.sha256, kept.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))

    second = put(legacy.url, b"another")
    assert second.status_code == 429
    assert second.headers["Retry-After"] == str(12 * 3600 + 1)
    assert calls(legacy) == 2

    back = get(legacy, f"/v1/capsules/{DAY}")
    assert back.content == content
    assert sha256_in(back.headers["Repr-Digest"]) == kept.sha256
    assert get(legacy, "/v1/capsules").json()["items"] == [kept.model_dump(mode="json")]


def test_the_date_is_that_of_the_service(legacy: LegacyStandIn) -> None:
    legacy.clock.now = legacy.clock.now.replace(hour=23, minute=59, second=59)
    assert put(legacy.url, b"leap day").status_code == 201
    legacy.clock.forward(seconds=2)
    assert put(legacy.url, b"the day after", DAY + timedelta(days=1)).status_code == 201
    legacy.clock.forward(seconds=-2)
    assert put(legacy.url, b"again").status_code == 429
    assert get(legacy, "/livez").headers["Date"] == "Tue, 29 Feb 2028 23:59:59 GMT"


def test_a_call_for_another_date_spends_the_one_of_today(legacy: LegacyStandIn) -> None:
    assert put(legacy.url, b"early", DAY + timedelta(days=1)).status_code == 409
    assert put(legacy.url, b"right").status_code == 429
    assert (calls(legacy), calls(legacy, DAY + timedelta(days=1))) == (2, 0)
    assert legacy.kept() is None


@pytest.mark.parametrize("digest", ["", "sha-256=:nonsense:"])
def test_a_capsule_without_its_digest_is_not_kept(legacy: LegacyStandIn, digest: str) -> None:
    assert put(legacy.url, b"capsule", digest=digest).status_code == 422
    assert (legacy.kept(), calls(legacy)) == (None, 1)


def test_a_capsule_that_is_not_what_was_announced_is_not_kept(legacy: LegacyStandIn) -> None:
    assert put(legacy.url, b"other", digest=digest_of(b"one")).status_code == 422
    assert (legacy.kept(), calls(legacy)) == (None, 1)
    assert not list((legacy.folder / "capsules" / "incoming").iterdir())


def test_who_has_no_business_here_makes_no_call(legacy: LegacyStandIn) -> None:
    url = f"{legacy.url}/v1/capsules/{DAY}"
    for headers, status in ((None, 401), (bearer(), 403)):
        answer = httpx.put(url, content=b"x", headers=headers, trust_env=False, timeout=WITHIN_S)
        assert answer.status_code == status
    assert calls(legacy) == 0


def misbehave(legacy: LegacyStandIn, misdeed: Misdeed, role: str = "staff") -> httpx.Response:
    return httpx.put(
        f"{legacy.url}/v1/admin/misbehaviour",
        json={"misdeed": misdeed},
        headers=bearer(role),
        trust_env=False,
        timeout=WITHIN_S,
    )


@pytest.mark.parametrize(
    ("misdeed", "answer", "left"),
    [
        ("error", 500, b"capsule"),
        ("cut", httpx.ReadError, b"capsule"),
        ("cut_early", httpx.ReadError, None),
    ],
)
def test_it_can_be_told_to_answer_badly(
    legacy: LegacyStandIn, misdeed: Misdeed, answer: int | type[Exception], left: bytes | None
) -> None:
    assert misbehave(legacy, misdeed).status_code == 200
    try:
        told: object = put(legacy.url, b"capsule")
    except (httpx.ReadError, httpx.RemoteProtocolError) as error:
        told = error
    if isinstance(answer, int):
        assert isinstance(told, httpx.Response)
        assert told.status_code == answer
    else:
        assert isinstance(told, answer | httpx.RemoteProtocolError)
    assert (calls(legacy), legacy.kept()) == (1, left)
    legacy.clock.forward(days=1)
    assert put(legacy.url, b"next", DAY + timedelta(days=1)).status_code == 201


def test_it_can_be_told_not_to_answer(legacy: LegacyStandIn) -> None:
    assert misbehave(legacy, "silence").status_code == 200
    headers = {**bearer("service"), "Repr-Digest": digest_of(b"capsule")}
    with connect(legacy.served.port) as connection:
        connection.sendall(written("PUT", f"/v1/capsules/{DAY}", headers.items(), b"capsule"))
        while legacy.kept() is None:
            time.sleep(0.02)
        connection.settimeout(1.0)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert (calls(legacy), legacy.kept()) == (1, b"capsule")
    legacy.clock.forward(days=1)
    assert put(legacy.url, b"next", DAY + timedelta(days=1)).status_code == 201


def test_it_can_be_told_to_answer_a_byte_a_second(legacy: LegacyStandIn) -> None:
    misbehave(legacy, "trickle")
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream(
            "PUT",
            f"{legacy.url}/v1/capsules/{DAY}",
            content=b"capsule",
            headers={**bearer("service"), "Repr-Digest": digest_of(b"capsule")},
        ) as response,
    ):
        assert response.status_code == 201
        assert next(response.iter_bytes()) == b"{"
    assert legacy.kept() == b"capsule"


@pytest.mark.parametrize(("misdeed", "left"), [("lost", None), ("truncated", b"caps")])
def test_it_can_be_told_to_store_badly(
    legacy: LegacyStandIn, misdeed: Misdeed, left: bytes | None
) -> None:
    legacy.misbehave(misdeed)
    assert put(legacy.url, b"capsules").status_code == 201
    assert legacy.kept() == left


def test_it_behaves_unless_fault_injection_is_on(tmp_path: Path) -> None:
    with serve_legacy(tmp_path / "well", fault_injection=False) as legacy:
        assert misbehave(legacy, "lost").status_code == 404


def test_in_production_it_cannot_be_told_to_misbehave(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="refused when ENVIRONMENT=production"):
        service_settings(tmp_path, environment="production")


def test_shoppers_and_services_cannot_make_it_misbehave(legacy: LegacyStandIn) -> None:
    for role in ("shopper", "service"):
        assert misbehave(legacy, "lost", role).status_code == 403


def test_two_processes_do_not_count_in_one_folder(legacy: LegacyStandIn) -> None:
    with pytest.raises(RuntimeError), serve_legacy(legacy.folder):
        pass


def test_the_count_survives_kill_9_in_the_middle_of_a_call(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "LEGACY_SERVICE_FOLDER": str(tmp_path / "legacy"),
        "LEGACY_SERVICE_PORT": str(port),
        "TOKEN_KEY": TOKEN_KEY,
    }
    url = f"http://127.0.0.1:{port}"
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-m", "legacy_service"], env=environment)
        try:
            today = _today(url, process)
            head = f"PUT /v1/capsules/{today} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in bearer("service").items())
            head += f"Repr-Digest: {digest_of(b'x' * 1000)}\r\n\r\n"
            _send_half(port, head.encode() + b"x" * 500, tmp_path / "legacy" / "calls" / today)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    counted = (tmp_path / "legacy" / "calls" / today).read_bytes().splitlines()
    assert len(counted) in (1, 2)  # the second was another call of the same date, or of the next
    assert not list((tmp_path / "legacy" / "capsules").glob("*.capsule"))


def _today(url: str, process: "subprocess.Popen[bytes]") -> str:
    while process.poll() is None:
        try:
            told = httpx.get(f"{url}/livez", trust_env=False).headers["Date"]
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return time.strftime("%Y-%m-%d", time.strptime(told, "%a, %d %b %Y %H:%M:%S GMT"))
    raise AssertionError("the service did not start")


def _send_half(port: int, content: bytes, counted: Path) -> None:
    """Send a part of a request and return once it has been counted, or refused."""
    before = counted.read_bytes() if counted.exists() else b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(content)
        for _ in range(600):
            if counted.exists() and counted.read_bytes() != before:
                return
            time.sleep(0.05)
    raise AssertionError("the call was not counted")
