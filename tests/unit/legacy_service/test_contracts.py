"""Digests in headers."""

import hashlib

import pytest

from legacy_service.contracts import digest_header, sha256_in

SHA256 = hashlib.sha256(b"capsule").hexdigest()


def test_a_digest_comes_back_as_it_was_sent() -> None:
    assert sha256_in(digest_header(SHA256)) == SHA256


def test_a_digest_is_found_among_others() -> None:
    assert sha256_in(f"md5=:AAAA:, {digest_header(SHA256)}, unixsum=:AA==:") == SHA256


NO_DIGESTS = (
    "",
    SHA256,
    "sha-256",
    "sha-256=::",
    "sha-256=:short:",
    "sha-512=:" + "A" * 43 + "=:",
    "sha-256=:" + "=" * 44 + ":",
)


@pytest.mark.parametrize("header", NO_DIGESTS)
def test_what_is_no_digest_is_none(header: str) -> None:
    assert sha256_in(header) is None
