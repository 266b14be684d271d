"""The site that is checked: where it is, whom it trusts, and what it should not have."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

TIMEOUT_S = 10.0

# What runs beside the shop, and is nobody else's business.
CLOSED_PORTS: Mapping[int, str] = {
    2019: "the proxy's administration",
    2375: "Docker",
    2376: "Docker",
    3000: "Grafana",
    5432: "Postgres",
    5439: "Postgres",
    7233: "Temporal",
    8080: "the pages, without TLS",
    8101: "order_api",
    8102: "inventory_api",
    8103: "worker",
    8104: "subscribers",
    8106: "legacy_service",
    8107: "backup",
    8233: "Temporal's Web UI",
    9090: "Prometheus",
    9093: "Alertmanager",
}
# Keys that everybody can read, and that are long enough for a service to start with them.
KNOWN_KEYS: Mapping[str, str] = {
    "the key of this project's tests": "a key for tests that is long enough to sign with",
    "the example key of jwt.io": "a-string-secret-at-least-256-bits-long",
}


@dataclass(frozen=True, slots=True)
class Site:
    """One deployment, as seen from outside; `plain_port` is where it should say "use HTTPS"."""

    url: httpx.URL
    token: str = field(default="", repr=False)
    sku: str | None = None
    ca_file: Path | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: KNOWN_KEYS, repr=False)
    closed_ports: Mapping[int, str] = field(default_factory=lambda: CLOSED_PORTS)
    plain_port: int = 80

    @property
    def port(self) -> int:
        """Where the site itself answers."""
        return self.url.port or (443 if self.url.scheme == "https" else 80)

    def trust(self) -> ssl.SSLContext:
        """Return whom a browser would trust, and the authority of `ca_file`."""
        context = httpx.create_ssl_context()
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return context

    def client(self) -> httpx.Client:
        """Return a client of the site, which goes there directly as the other checks do."""
        return httpx.Client(
            base_url=self.url, verify=self.trust(), timeout=TIMEOUT_S, trust_env=False
        )

    def with_token(self) -> dict[str, str]:
        """Return the header that says who we are."""
        return bearer(self.token)


def address(text: str) -> httpx.URL:
    """Return the address that `shop.example.com` means, with or without https; ValueError."""
    try:
        url = httpx.URL(text if "://" in text else f"https://{text}")
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("it is not the address of a site")
    if url.path not in {"", "/"} or url.query or url.fragment or url.userinfo:
        raise ValueError("it has more than a name and a port")
    return url


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request with this token."""
    return {"Authorization": f"Bearer {token}"}
