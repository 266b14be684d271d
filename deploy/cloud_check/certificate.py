"""Check of the certificate: trusted, for this name, renewed in time."""

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from deploy.cloud_check.outcome import CheckOutcome, failed, passed
from deploy.cloud_check.site import TIMEOUT_S, Site

CHECK = "certificate"
# Proxies renew when a third is left, whether of 90 days or of six.
LATE_BELOW = 1 / 5
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was accepted for the site's name; times in seconds since 1970."""

    issuer: str
    not_before: float
    not_after: float


def presented(site: Site) -> Certificate | str:
    """Return the certificate that the site shows, or in words why it cannot be believed."""
    if site.url.scheme != "https":
        return "there is no TLS: the address is not https"
    try:
        with (
            socket.create_connection((site.url.host, site.port), timeout=TIMEOUT_S) as connection,
            site.trust().wrap_socket(connection, server_hostname=site.url.host) as secured,
        ):
            return _read(secured.getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        return f"it is not trusted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"there is no TLS at port {site.port}: {error.reason or error}"
    except OSError as error:
        return f"nobody answers at port {site.port}: {error}"


def judge(found: Certificate | str, now: float) -> CheckOutcome:
    """Return what is to be said of what the site has shown."""
    if isinstance(found, str):
        return failed(
            CHECK,
            found,
            "does the name lead to this machine, and is it the SITE of .env? The proxy's log says"
            " why it has no certificate",
        )
    left, life = found.not_after - now, found.not_after - found.not_before
    days = f"{left / _DAY_S:.0f} of its {life / _DAY_S:.0f} days left"
    if left < life * LATE_BELOW:
        return failed(
            CHECK,
            f"trusted, but only {days}: it has not been renewed",
            "the proxy's log says why; port 80 or 443 has to be reachable for the authority",
        )
    return passed(CHECK, f"trusted, by {found.issuer}, {days}")


def _read(shown: Any) -> Certificate:
    issuer = {name: value for part in shown["issuer"] for name, value in part}
    return Certificate(
        issuer=issuer.get("organizationName") or issuer.get("commonName", "nobody known"),
        not_before=ssl.cert_time_to_seconds(shown["notBefore"]),
        not_after=ssl.cert_time_to_seconds(shown["notAfter"]),
    )
