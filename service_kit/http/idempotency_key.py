"""The Idempotency-Key header: exactly one, 1 to 255 visible ASCII characters.

A client may also send it the way the IETF draft writes it, as a quoted string of RFC 8941:
`"abc"` and `abc` are the same key.
"""

import re

from starlette.requests import Request

from service_kit.http.problems import Problem

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# Inside the quotes, a backslash stands before a quote or a backslash and nothing else.
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


def read(request: Request) -> str:
    """Return the request's key; a 400 problem if there is none, two, or one that is not clean."""
    values = request.headers.getlist("idempotency-key")
    key = _unquoted(values[0]) if len(values) == 1 else ""
    if not _KEY.fullmatch(key):
        raise Problem(
            400,
            "idempotency-key",
            "An Idempotency-Key is needed",
            "Send exactly one Idempotency-Key of 1 to 255 visible ASCII characters.",
            advice="This request stored nothing. Make a key for it and keep it for retries.",
        )
    return key


def read_quoted(request: Request) -> str | None:
    """Return a good key with the quotes it was sent in; None if it was sent without.

    The first release took the quotes for a part of the key, and an order keeps its key for ever.
    """
    value: str = request.headers["idempotency-key"]
    return value if value != _unquoted(value) else None


def _unquoted(value: str) -> str:
    """Return what stands in the quotes; a value that is not quoted as a whole, as it is."""
    quoted = _QUOTED.fullmatch(value)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value
