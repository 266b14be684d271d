"""The Idempotency-Key header: exactly one, 1 to 255 visible ASCII characters."""

import re

from starlette.requests import Request

from service_kit.problems import Problem

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def read(request: Request) -> str:
    """Return the request's key; a 400 problem if there is none, two, or one that is not clean."""
    values = request.headers.getlist("idempotency-key")
    if len(values) != 1 or not _KEY.fullmatch(values[0]):
        raise Problem(
            400,
            "idempotency-key",
            "An Idempotency-Key is needed",
            "Send exactly one Idempotency-Key of 1 to 255 visible ASCII characters.",
            advice="Nothing was stored. Make a key for this request and keep it for retries.",
        )
    return values[0]
