"""All checks of a site, one after the other."""

import time
from collections.abc import Callable, Iterator, Mapping

import httpx

from deploy.cloud_check import certificate, front_page, order, plain_http, ports, services
from deploy.cloud_check.outcome import CheckOutcome, failed, skipped
from deploy.cloud_check.site import Site

ON_THE_PAGE: Mapping[str, Callable[[front_page.FrontPage], CheckOutcome]] = {
    "page": front_page.shop,
    "hsts": front_page.hsts,
    "cookies": front_page.cookies,
    "clock": front_page.clock,
}
ASKED: Mapping[str, Callable[[Site, httpx.Client], CheckOutcome]] = {
    "health": services.health,
    "metrics": services.metrics,
    "faults": services.faults,
    "keys": services.keys,
    "order": order.check,
    "alert": services.alert,  # with that order among those it judges
}


def check(site: Site) -> Iterator[CheckOutcome]:
    """Yield what each check has seen, as it comes.

    Nothing is asked, and above all no token is sent, over a connection that cannot be trusted.
    """
    found = certificate.presented(site)
    yield certificate.judge(found, time.time())
    yield plain_http.check(site)
    if isinstance(found, str):
        for name in (*ON_THE_PAGE, *ASKED):
            yield skipped(name, "not asked without a trusted certificate", "mend that first")
    else:
        with site.client() as client:
            yield from over_https(site, client)
    yield ports.check(site)


def over_https(site: Site, client: httpx.Client) -> Iterator[CheckOutcome]:
    """Yield the outcomes of the checks that talk to the site."""
    try:
        page = front_page.fetch(client)
    except httpx.HTTPError as error:
        yield _no_answer("page", error)
    else:
        for look in ON_THE_PAGE.values():
            yield look(page)
    for name, ask in ASKED.items():
        try:
            yield ask(site, client)
        except httpx.HTTPError as error:
            yield _no_answer(name, error)


def _no_answer(name: str, error: Exception) -> CheckOutcome:
    said = str(error) or type(error).__name__
    return failed(name, f"no answer: {said}", "on the machine: docker compose ps")
