"""A stand-in for a deployed shop, with mistakes if they are wanted, and TLS to serve it with."""

import re
import secrets
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from service_kit.http.problems import Problem
from service_kit.http.tokens import TokenVerifier, issue

Answer = Callable[[httpx.Request], httpx.Response]
_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "transfer-encoding"}


@dataclass
class PretendShop:
    """Answers as the pages and order_api do, behind a proxy; each order ships at the first look."""

    key: str = field(default_factory=lambda: secrets.token_hex(32))
    fault_injection: bool = False
    local: bool = False
    ahead_s: float = 0.0
    on_sale: tuple[str, ...] = ("MUG-BLUE",)
    ends_as: str = "shipped"
    alert: dict[str, Any] = field(default_factory=lambda: {"state": "green", "count": 1})
    orders: dict[str, str] = field(default_factory=dict)
    sent: list[httpx.Request] = field(default_factory=list)

    def token(self) -> str:
        """Return a shopper's token."""
        return issue(self.key, "cloud-check", "shopper")

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Return what the shop says to a request."""
        self.sent.append(request)
        path = request.url.path
        if path.startswith("/v1/"):
            found = self._of_order_api(request, path)
        elif path == "/":
            found = self._front_page()
        else:
            found = httpx.Response(200 if path == "/readyz" else 404)
        found.headers["date"] = formatdate(time.time() + self.ahead_s, usegmt=True)
        return found

    def _front_page(self) -> httpx.Response:
        cookie = "session=1; path=/; httponly" + ("" if self.local else "; secure")
        headers = {"strict-transport-security": "max-age=31536000", "set-cookie": cookie}
        return httpx.Response(200, headers=headers, html="<title>Valerix</title>")

    def _of_order_api(self, request: httpx.Request, path: str) -> httpx.Response:
        if path == "/v1/admin/faults" and not self.fault_injection:
            return httpx.Response(404)
        try:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            TokenVerifier(self.key).verify(token)
        except Problem as problem:
            return httpx.Response(problem.status, json={"title": problem.title})
        if path == "/v1/products":
            return httpx.Response(200, json={"items": [{"sku": sku} for sku in self.on_sale]})
        if path == "/v1/ops/response-time":
            return httpx.Response(200, json=self.alert)
        if request.method == "POST":
            key = request.headers["idempotency-key"]
            order_id = self.orders.setdefault(key, str(uuid.uuid4()))
            return httpx.Response(202, json={"order_id": order_id, "status": "received"})
        return httpx.Response(200, json={"status": self.ends_as})


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test's own, and a certificate of `localhost` by it."""

    ca_file: Path
    chain: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str = "localhost") -> "Authority":
        """Make both with openssl."""
        made = cls(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        ca_key = folder / "ca.key"
        _openssl(
            *(*new, "-days", "90", "-subj", "/O=Tests/CN=Tests", "-addext"),
            *("keyUsage=critical,keyCertSign", "-keyout", ca_key, "-out", made.ca_file),
        )
        _openssl(
            *(*new, "-days", "90", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", made.ca_file, "-CAkey", ca_key, "-keyout", made.key, "-out", made.chain),
        )
        return made

    def context(self) -> ssl.SSLContext:
        """Return what a server needs to show the certificate."""
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(self.chain, self.key)
        return found


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def served(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve it on a port of loopback, over TLS if there is a context; yields the port."""
    handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Hands each request on, and writes nothing of its own but the length."""

    answer: Answer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = httpx.Request(
            self.command,
            f"http://localhost{self.path}",
            headers=[(name, value) for name, value in self.headers.items()],
            content=body,
        )
        found = type(self).answer(request)
        content = found.read()
        self.send_response_only(found.status_code)
        for name, value in found.headers.multi_items():
            if name not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def redirecting(port: int) -> Answer:
    """Return what says to every request that the site is at this port, by HTTPS."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(308, headers={"location": f"https://localhost:{port}/"})

    return answer


def passing_on(shop: PretendShop, order_api: str) -> Answer:
    """Return a shop whose calls of order_api are answered by a real one at this address."""

    def answer(request: httpx.Request) -> httpx.Response:
        if not re.match("/v1/", request.url.path):
            return shop.answer(request)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in {*_HOP_BY_HOP, "host"}
        }
        return httpx.request(
            request.method,
            f"{order_api}{request.url.raw_path.decode()}",
            headers=headers,
            content=request.content,
            trust_env=False,
        )

    return answer
