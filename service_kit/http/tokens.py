"""Bearer tokens (JWT, HS256): issuing and verifying them."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, cast, get_args

import jwt
from starlette.requests import Request

from service_kit.http.problems import Problem
from service_kit.process.settings import ServiceSettings

Role = Literal["shopper", "staff", "service"]
ROLES: frozenset[str] = frozenset(get_args(Role))
MAX_SUBJECT_LENGTH = 128
CACHED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity behind a request: `subject` is the customer, staff member or service."""

    subject: str
    role: Role


def issue(key: str, subject: str, role: str, ttl_s: int = 86_400, audience: str = "valerix") -> str:
    """Return a token for `subject`, valid for `ttl_s` seconds; ValueError for an unknown role."""
    if role not in ROLES:
        raise ValueError(f"role has to be one of {', '.join(sorted(ROLES))}")
    if not _subject_is_clean(subject):
        raise ValueError(f"subject has to be 1 to {MAX_SUBJECT_LENGTH} printable characters")
    now = int(time.time())
    claims = {"sub": subject, "role": role, "aud": audience, "iat": now, "exp": now + ttl_s}
    return jwt.encode(claims, key, algorithm="HS256")


def _subject_is_clean(subject: str) -> bool:
    # isprintable also keeps U+001F out, which separates customer and key in the order id
    return 0 < len(subject) <= MAX_SUBJECT_LENGTH and subject.isprintable()


class TokenVerifier:
    """Checks bearer tokens; remembers the good ones until they expire, for checks are not free."""

    def __init__(self, key: str, audience: str = "valerix") -> None:
        self._key = key
        self._audience = audience
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    def caller(self, request: Request, *allowed: Role) -> Caller:
        """Return who sent `request`; a 401 problem without a good token, a 403 for another role."""
        values = request.headers.getlist("authorization")
        scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("There is no bearer token in the request.")
        caller, _ = self.verify(token.strip())
        if allowed and caller.role not in allowed:
            raise Problem(
                403,
                "forbidden",
                "This is not for your role",
                f"The call is for {' and '.join(allowed)} only.",
                advice="Use a token with one of these roles.",
            )
        return caller

    def verify(self, token: str) -> tuple[Caller, float]:
        """Return whose token it is and when it expires (seconds since 1970), or a 401 problem."""
        known = self._known.get(token)
        if known is not None and known[0] > time.time():
            return known[1], known[0]
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=self._audience,
                # RFC 7519 gives `iat` for information. To refuse one of the future would be to
                # refuse everybody as soon as our own clock is behind the issuer's.
                options={"require": ["sub", "exp", "aud"], "verify_iat": False},
            )
            expires = float(claims["exp"])
        except jwt.ExpiredSignatureError:
            raise _unauthorized("The token has expired.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            raise _unauthorized("The token is not valid.") from None
        subject, role = claims["sub"], claims.get("role")
        if not isinstance(role, str) or role not in ROLES or not _subject_is_clean(subject):
            raise _unauthorized("The token's claims are not valid.")
        caller = Caller(subject, cast("Role", role))
        self._known[token] = (expires, caller)
        if len(self._known) > CACHED_TOKENS:
            self._known.popitem(last=False)
        return caller, expires


def verifier_for(settings: ServiceSettings) -> TokenVerifier:
    """Return the verifier of a service's tokens."""
    return TokenVerifier(settings.token_key.get_secret_value(), settings.token_audience)


def _unauthorized(detail: str) -> Problem:
    return Problem(
        401,
        "unauthorized",
        "Unauthorized",
        detail,
        advice="Send Authorization: Bearer with a valid token.",
        headers={"WWW-Authenticate": "Bearer"},
    )
