"""Who we are to a bucket and where it is: settings say it, and a terminal's `AWS_*` do not."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from backup.errors import CopyMissing
from backup.stores.s3 import S3Settings, S3Store
from backup.stores.store import Copy
from deploy.local.ports import LOOPBACK, free_port
from tests.support.small_capsules import DAY, MIDNIGHT

ROLE = "shop"
METADATA = "/latest/meta-data/iam/security-credentials/"
MACHINE = {
    "AccessKeyId": "of-the-machine",
    "SecretAccessKey": "secret",
    "Token": "session-of-the-machine",
    "Code": "Success",
    "Expiration": "2099-01-01T00:00:00Z",
}
COPY = Copy(
    store="far",
    day=DAY,
    sha256="0" * 64,
    size_bytes=1,
    covers_from=MIDNIGHT,
    covers_to=MIDNIGHT,
)


class EmptyBucket(ThreadingHTTPServer):
    """A bucket without objects, and beside it what tells a machine of the cloud its identity.

    `asked` has path and headers of what was asked of the bucket.
    """

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: EmptyBucket

    def do_PUT(self) -> None:
        self._answer("a token")

    def do_GET(self) -> None:
        self._answer(ROLE if self.path == METADATA else json.dumps(MACHINE))

    def do_HEAD(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers))
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def bucket() -> Iterator[EmptyBucket]:
    with EmptyBucket() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have a terminal in which somebody works with another account, at another server."""
    elsewhere = f"http://{LOOPBACK}:{free_port()}"
    for name, value in {
        "AWS_ENDPOINT_URL_S3": elsewhere,
        "AWS_ENDPOINT_URL": elsewhere,
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_REQUEST_PAYER": "requester",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


async def asked(settings: S3Settings, bucket: EmptyBucket, tmp_path: Path) -> dict[str, str]:
    """Return the headers of a request for an object, which went to our bucket."""
    with pytest.raises(CopyMissing):
        await S3Store("far", settings).get(COPY, tmp_path)
    [(path, headers)] = bucket.asked
    assert path == f"/kept/capsules/{COPY.name}"
    assert "x-amz-request-payer" not in headers
    return headers


async def test_with_keys_in_the_settings_no_variable_of_the_terminal_counts(
    bucket: EmptyBucket, terminal: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal.setenv("AWS_ACCESS_KEY_ID", "of-the-terminal")
    terminal.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    terminal.setenv("AWS_SESSION_TOKEN", "session-of-the-terminal")
    settings = S3Settings(
        bucket="kept",
        endpoint=bucket.url,
        access_key_id="of-the-settings",
        secret_access_key=SecretStr("secret"),
    )
    headers = await asked(settings, bucket, tmp_path)
    assert "Credential=of-the-settings/" in headers["authorization"]
    assert "x-amz-security-token" not in headers


async def test_without_keys_the_machine_is_who_it_is(
    bucket: EmptyBucket, terminal: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal.setenv("AWS_METADATA_ENDPOINT", bucket.url)
    headers = await asked(S3Settings(bucket="kept", endpoint=bucket.url), bucket, tmp_path)
    assert "Credential=of-the-machine/" in headers["authorization"]
    assert headers["x-amz-security-token"] == MACHINE["Token"]


def test_making_a_bucket_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    S3Store("far", S3Settings(bucket="kept"))
    assert dict(os.environ) == before
