"""Reading a sealed capsule as a stream: decrypted, unpacked, entry after entry, kept nowhere."""

import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pyrage
import zstandard

from backup.capsule.manifest import SealedCapsule
from backup.errors import CapsuleDamaged, WrongKey

_PIECE = 1024 * 1024
_NO_KEY = "No matching keys"

Visit = Callable[[tarfile.TarInfo, IO[bytes] | None], None]


def read_entries(capsule: SealedCapsule, key: str, visit: Visit) -> None:
    """Show each entry of a capsule to `visit`, in the order in which they were sealed.

    Raises `WrongKey` or `CapsuleDamaged` if it cannot be read to its authentic end.
    """
    with (
        _decrypted(capsule, key) as plain,
        zstandard.ZstdDecompressor().stream_reader(plain, closefd=False) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r|") as tar,
    ):
        for entry in tar:
            visit(entry, tar.extractfile(entry))
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
        while unpacked.read(_PIECE):
            pass


@contextmanager
def _decrypted(capsule: SealedCapsule, key: str) -> Iterator[IO[bytes]]:
    """Give the content to read, and see to it that all of it was authentic."""
    identity = _identity(key)
    read_end, write_end = os.pipe()
    failures: list[Exception] = []

    def write_plain() -> None:
        try:
            with os.fdopen(write_end, "wb") as plain, capsule.path.open("rb") as sealed:
                pyrage.decrypt_io(sealed, plain, [identity])
        except Exception as error:
            # Also a broken pipe, when the reader has found something wrong: nobody looks then.
            failures.append(error)

    decryption = threading.Thread(target=write_plain, name="opening a capsule")
    decryption.start()
    source = os.fdopen(read_end, "rb", buffering=_PIECE)
    reading: Exception | None = None
    try:
        yield source
        while source.read(_PIECE):
            pass
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        # The end came too soon, or this is no capsule: the decryption may know more.
        reading = error
        with source:
            while source.read(_PIECE):
                pass
    finally:
        source.close()
        decryption.join()
    if failures and _NO_KEY in str(failures[0]):
        raise WrongKey(f"{capsule.path.name} was sealed to another key than the one given")
    reason = failures[0] if failures else reading
    if reason is not None:
        said = " ".join(str(reason).split())
        raise CapsuleDamaged(f"{capsule.path.name} is damaged: {said}") from reason


def _identity(key: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(key.strip())
    except pyrage.IdentityError:
        # without its text: it might be most of a key
        raise WrongKey("this is not a secret key (AGE-SECRET-KEY-1…)") from None
