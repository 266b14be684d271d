"""Strict JSON request bodies: what two parsers could read differently is refused.

RFC 8259 leaves duplicate names, NaN and lone surrogates to the reader; an order must not depend
on that choice, so each is an error with a sentence saying what was wrong.
"""

import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from service_kit.http.problems import Problem, unprocessable

Model = TypeVar("Model", bound=BaseModel)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return members


def _no_constants(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constants)


def _malformed(detail: str) -> Problem:
    return Problem(
        400,
        "malformed-body",
        "The body could not be read as JSON",
        detail,
        advice="This request stored nothing. Send one UTF-8 JSON object.",
    )


def parse(body: bytes) -> Any:
    """Return the value in `body`; raise a 400 problem if it is not strict JSON in UTF-8."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("The body is not UTF-8.") from None
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _malformed("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at character {error.pos}.") from None
    except ValueError as error:  # from the two hooks above, or a number beyond CPython's limit
        reason = str(error) if "limit" not in str(error) else "a number has too many digits"
        raise _malformed(f"The body is not strict JSON: {reason}.") from None
    return value


async def read(request: Request, model: type[Model]) -> Model:
    """Return the request's body as `model`; raise a 400, 415 or 422 problem otherwise."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            415,
            "unsupported-media-type",
            "The body has to be JSON",
            "Content-Type is not application/json.",
            advice="This request stored nothing. Send JSON with Content-Type: application/json.",
        )
    value = parse(await request.body())
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise from_pydantic(error) from None


def from_pydantic(error: ValidationError) -> Problem:
    """Return the 422 that names each wrong member and never repeats its value."""
    errors = [
        {
            # an unknown member's name is the sender's text and may be anything: do not echo it
            "at": ".".join(str(part) for part in item["loc"])
            if item["type"] != "extra_forbidden"
            else ".".join(str(part) for part in item["loc"][:-1]) or "body",
            "problem": item["msg"].removeprefix("Value error, "),
        }
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    summary = "; ".join(f"{item['at'] or 'body'}: {item['problem']}" for item in errors[:5])
    return unprocessable(f"The body is not valid. {summary}", errors=errors[:20])
