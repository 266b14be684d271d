"""Identity of who is at the browser: a shopper with an id of its own, or staff.

The id lives in the browser's own storage on the server, under a signed cookie. Tokens are made
here for each call and go to the services only: no page, cookie or log ever has one.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from service_kit.http.tokens import Role, issue

TOKEN_TTL_S = 3600
RENEW_BEFORE_S = 600
KEPT_TOKENS = 2048

Browser = MutableMapping[str, Any]
"""What the server keeps for one browser; survives reloads and restarts."""


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose behalf a call is made."""

    subject: str
    role: Role


UI = Identity("ui", "service")
"""The UI itself, for what all pages share."""


class Tokens:
    """Makes the bearer token of an identity, and remembers it while it is good."""

    def __init__(self, key: str, audience: str) -> None:
        self._key = key
        self._audience = audience
        self._made: OrderedDict[Identity, tuple[float, str]] = OrderedDict()

    def header(self, who: Identity) -> dict[str, str]:
        """Return the Authorization header for `who`."""
        until, token = self._made.get(who, (0.0, ""))
        if until - RENEW_BEFORE_S < time.time():
            until = time.time() + TOKEN_TTL_S
            token = issue(self._key, who.subject, who.role, TOKEN_TTL_S, self._audience)
            self._made[who] = (until, token)
            if len(self._made) > KEPT_TOKENS:
                self._made.popitem(last=False)
        return {"Authorization": f"Bearer {token}"}


def shopper(browser: Browser, session: str = "") -> Identity:
    """Return the shopper that this browser is, a new one at the first visit.

    It follows from the browser's `session`, so that two replicas which see a new browser at the
    same moment take it for one customer: two customers could buy the same cart twice.
    """
    if "customer" not in browser:
        known = hashlib.sha256(f"customer {session}".encode()).hexdigest()[:16]
        browser["customer"] = f"guest-{known if session else secrets.token_hex(8)}"
    return Identity(browser["customer"], "shopper")


def staff(browser: Browser) -> Identity | None:
    """Return the member of staff at this browser, if there is one."""
    until = browser.get("staff_until", 0.0)
    if time.time() >= until:
        return None
    return Identity(browser.get("staff_name") or shopper(browser).subject, "staff")


def become_staff(browser: Browser, name: str, until: float) -> None:
    """Have the browser act as staff until the clock shows `until` (seconds since 1970)."""
    browser["staff_name"] = name
    browser["staff_until"] = until


def stop_being_staff(browser: Browser) -> None:
    """Go back to being a shopper only."""
    browser.pop("staff_until", None)
