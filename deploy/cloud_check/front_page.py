"""Checks of the shop's front page, and of what its answer says of the site."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from deploy.cloud_check.outcome import CheckOutcome, failed, passed, skipped

# A browser's clock may be off by as much without anybody noticing; tokens and due times are not.
CLOCK_TOLERANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class FrontPage:
    """The answer, and our own time before and after (seconds since 1970)."""

    answer: httpx.Response
    asked_at: float
    answered_at: float


def fetch(client: httpx.Client) -> FrontPage:
    """Return what a visitor without cookies gets."""
    asked_at = time.time()
    answer = client.get("/")
    return FrontPage(answer, asked_at, time.time())


def shop(page: FrontPage) -> CheckOutcome:
    """Return whether it is the shop that answers."""
    status, took = page.answer.status_code, page.answered_at - page.asked_at
    if status == httpx.codes.OK and "Valerix" in page.answer.text:
        return passed("page", f"the shop, after {took * 1000:.0f} ms")
    return failed(
        "page",
        f"{status}, and not the shop's page",
        "on the machine: docker compose ps, and the log of whoever is not healthy",
    )


def hsts(page: FrontPage) -> CheckOutcome:
    """Return whether browsers are told to come by HTTPS only; that is a matter of choice."""
    said = page.answer.headers.get("strict-transport-security")
    if said:
        return passed("hsts", said)
    return skipped(
        "hsts",
        "browsers are not told to come by HTTPS only",
        "a header Strict-Transport-Security by the proxy, once the name is to stay on HTTPS",
    )


def cookies(page: FrontPage) -> CheckOutcome:
    """Return whether cookies travel by HTTPS only, as they do with production settings."""
    given = page.answer.headers.get_list("set-cookie")
    names = [
        cookie.partition("=")[0]
        for cookie in given
        if "secure" not in {part.strip().lower() for part in cookie.split(";")[1:]}
    ]
    if names:
        return failed(
            "cookies",
            f"{', '.join(names)} may travel without TLS: the pages run with local settings, where"
            " anybody may act as staff",
            "ENVIRONMENT=production in .env, then start anew",
        )
    if not given:
        return skipped("cookies", "none was set", "look at the page in a browser")
    return passed("cookies", "by HTTPS only")


def clock(page: FrontPage) -> CheckOutcome:
    """Return how far the site's clock is from ours, as its Date header tells."""
    try:
        date = parsedate_to_datetime(page.answer.headers.get("date", "")).timestamp()
    except ValueError:
        return skipped("clock", "the answer has no date", "timedatectl on the machine")
    offset = least_offset(date, page.asked_at, page.answered_at)
    if abs(offset) > CLOCK_TOLERANCE_S:
        which = "ahead of" if offset > 0 else "behind"
        return failed(
            "clock",
            f"it is {abs(offset):.0f} s {which} ours",
            "timedatectl there and here: one of the two follows no time server",
        )
    return passed("clock", f"within {CLOCK_TOLERANCE_S:.0f} s of ours")


def least_offset(date: float, asked_at: float, answered_at: float) -> float:
    """Return by how many seconds their clock is at least ahead of ours, or (negative) behind.

    `date` has whole seconds, and was written at some moment between the other two.
    """
    at_least, at_most = date - answered_at, date + 1 - asked_at
    if at_least > 0:
        return at_least
    return min(at_most, 0.0)
