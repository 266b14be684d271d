"""Check of the port for plain HTTP: shut, or it says where HTTPS is, and nothing else."""

import httpx

from deploy.cloud_check.outcome import CheckOutcome, failed, passed
from deploy.cloud_check.site import TIMEOUT_S, Site

CHECK = "redirect"


def check(site: Site) -> CheckOutcome:
    """Return whether plain HTTP leads to HTTPS, or nowhere."""
    plain = httpx.URL(scheme="http", host=site.url.host, port=site.plain_port, path="/")
    try:
        return judge(site, httpx.get(plain, timeout=TIMEOUT_S, trust_env=False))
    except httpx.TransportError:
        return passed(CHECK, f"port {site.plain_port} is shut: there is no way but HTTPS")


def judge(site: Site, answer: httpx.Response) -> CheckOutcome:
    """Return what is to be said of an answer by plain HTTP."""
    try:
        to = httpx.URL(answer.headers.get("location", ""))
    except httpx.InvalidURL:
        to = httpx.URL("")
    if answer.has_redirect_location and (to.scheme, to.host) == ("https", site.url.host):
        return passed(CHECK, f"{answer.status_code} to {to}")
    return failed(
        CHECK,
        f"{answer.status_code} by plain HTTP, and no way to HTTPS",
        "let the proxy redirect: is SITE set in .env, and does nothing else hold the port?",
    )
