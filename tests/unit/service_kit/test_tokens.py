"""Tokens: only ours, only fresh, only clean ones."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from service_kit.http import tokens
from service_kit.http.problems import Problem
from service_kit.http.tokens import TokenVerifier, issue
from tests.support.asgi_requests import request

KEY = "a key that is certainly long enough for HS256"
# Bad tokens are made when tests are collected, and tried when their turn comes.
A_DAY_S = 86_400


def check(
    token: str, *allowed: tokens.Role, verifier: TokenVerifier | None = None
) -> tokens.Caller:
    asked = request(("Authorization", f"Bearer {token}"))
    return (verifier or TokenVerifier(KEY)).caller(asked, *allowed)


def refused(token: str, *allowed: tokens.Role) -> int:
    with pytest.raises(Problem) as caught:
        check(token, *allowed)
    return caught.value.status


def claims(**changes: Any) -> dict[str, Any]:
    found = {"sub": "alice", "role": "shopper", "aud": "valerix", "exp": time.time() + A_DAY_S}
    return {name: value for name, value in (found | changes).items() if value is not None}


def signed(key: str = KEY, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm="HS256")


def by_hand(header: bytes, payload: bytes, signature: bytes = b"") -> str:
    parts = (header, payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_token_of_ours_says_who_is_calling() -> None:
    caller = check(issue(KEY, "alice", "shopper", 60))
    assert (caller.subject, caller.role) == ("alice", "shopper")


def test_an_expired_token_is_refused() -> None:
    assert refused(signed(exp=time.time() - 1)) == 401


def test_whoever_has_a_slow_clock_still_knows_everybody() -> None:
    assert check(signed(iat=time.time() + 3600)).subject == "alice"


def test_a_good_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, token = TokenVerifier(KEY), issue(KEY, "alice", "shopper", 60)
    check(token, verifier=verifier)
    verifier._key = "another key, with which the token is no good"
    assert check(token, verifier=verifier).subject == "alice"
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Problem):
        check(token, verifier=verifier)


BAD_TOKENS = [
    "",
    "x",
    "a.b.c",
    "..",
    by_hand(b'{"alg":"none"}', json.dumps(claims()).encode()),
    by_hand(b'{"alg":"None","typ":"JWT"}', json.dumps(claims()).encode()),
    by_hand(b'{"alg":"HS256"}', json.dumps(claims()).encode(), b"guess"),
    by_hand(b'{"alg":"HS256","crit":["exp"]}', b"{}"),
    by_hand(b"[" * 3000, b"{}"),
    by_hand(b'{"a":' * 3000, b"{}"),
    by_hand(b'{"alg":["HS256"]}', b"{}"),
    by_hand(b'{"alg":7}', b"{}"),
    by_hand(b'{"alg":{}}', b"{}"),
    by_hand(b"null", b"{}"),
    by_hand(b"\xff", b"{}"),
    by_hand(b'{"alg":"HS256","kid":7}', b"{}"),
    signed("another key that is long enough, too, of course"),
    signed(aud="elsewhere"),
    signed(aud=None),
    signed(aud=["other"]),
    signed(sub=None),
    signed(exp=None),
    signed(exp="soon"),
    signed(exp=float("inf")),
    signed(exp=10**400),
    signed(role=None),
    signed(role="admin"),
    signed(role=["staff"]),
    signed(role={"staff": 1}),
    signed(sub=""),
    signed(sub="a" * 129),
    signed(sub="alice\x1fkey"),
    signed(sub="a\nb"),
    signed(sub=7),
    signed(nbf=time.time() + A_DAY_S),
    jwt.encode(claims(), KEY * 2, algorithm="HS512"),
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=range(len(BAD_TOKENS)))
def test_this_token_is_refused(token: str) -> None:
    with pytest.raises(Problem) as caught:
        check(token)
    assert caught.value.status == 401
    assert "expired" not in caught.value.detail, "it was refused for its age alone"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Authorization", ""),),
        (("Authorization", "Bearer"),),
        (("Authorization", "Bearer "),),
        (("Authorization", f"Basic {signed()}"),),
        (("Authorization", signed()),),
        (("Authorization", f"Bearer {signed()}"), ("Authorization", f"Bearer {signed()}")),
    ],
)
def test_without_exactly_one_bearer_token_nobody_gets_in(
    headers: tuple[tuple[str, str], ...],
) -> None:
    with pytest.raises(Problem) as caught:
        TokenVerifier(KEY).caller(request(*headers))
    assert caught.value.status == 401
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


def test_another_role_is_known_and_not_let_in() -> None:
    token = issue(KEY, "alice", "shopper", 60)
    assert refused(token, "staff", "service") == 403
    assert check(token, "shopper").role == "shopper"


@pytest.mark.parametrize(
    ("subject", "role"), [("", "staff"), ("a\x1fb", "staff"), ("a" * 129, "staff"), ("a", "root")]
)
def test_no_token_is_issued_that_would_be_refused(subject: str, role: str) -> None:
    with pytest.raises(ValueError, match="has to be"):
        issue(KEY, subject, role, 60)


def test_the_memory_for_good_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CACHED_TOKENS", 3)
    verifier = TokenVerifier(KEY)
    for number in range(10):
        assert (
            check(issue(KEY, f"c{number}", "shopper", 60), verifier=verifier).subject
            == f"c{number}"
        )
    assert len(verifier._known) == 3
