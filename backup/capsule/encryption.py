"""Encrypting a capsule while it is packed, in one pass, with nothing of it in memory."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import IO

import pyrage

_PIECE = 1024 * 1024


class Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        """Write a piece."""
        self._out.write(piece)
        self._digest.update(piece)
        return len(piece)

    def flush(self) -> None:
        """Hand on what the file below still has in memory."""
        self._out.flush()

    @property
    def sha256(self) -> str:
        """The hash of all that was written so far."""
        return self._digest.hexdigest()


class _Remembering:
    """A file for pyrage, which keeps of an error only its text: this keeps the error itself."""

    def __init__(self, out: IO[bytes] | Hashing) -> None:
        self._out = out
        self.failure: OSError | None = None

    def write(self, piece: bytes) -> int:
        try:
            return self._out.write(piece)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        try:
            self._out.flush()
        except OSError as error:
            self.failure = error
            raise


def encrypt(
    pack: Callable[[IO[bytes]], None], out: Hashing, keys: Sequence[pyrage.x25519.Recipient]
) -> None:
    """Encrypt to `out` what `pack` writes at the same time; raise what failed on either side."""
    read_end, write_end = os.pipe()
    failures: list[BaseException] = []

    def write_plain() -> None:
        try:
            with os.fdopen(write_end, "wb", buffering=_PIECE) as plain:
                pack(plain)
        except BaseException as error:
            failures.append(error)

    remembering = _Remembering(out)
    writer = threading.Thread(target=write_plain, name="packing a capsule")
    with os.fdopen(read_end, "rb") as source:
        writer.start()
        try:
            pyrage.encrypt_io(source, remembering, list(keys))
        except pyrage.EncryptError as error:
            failures.append(error)
    writer.join()
    # The disk first: when it is full, the other side only finds a broken pipe. And an error of the
    # packing is an end to the encryption like any other, which then believes that it is done.
    if remembering.failure is not None:
        raise remembering.failure
    if failures:
        raise failures[0]
