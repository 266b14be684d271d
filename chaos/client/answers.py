"""Answers of the order service: what each tells a shopper."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from activities.contracts import TERMINAL
from workflows.reasons import OUT_OF_STOCK


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` None if nothing did."""

    status: int | None
    body: dict[str, Any]
    seconds: float
    advised: bool


async def read(response: aiohttp.ClientResponse, sent: float) -> Answer:
    """Return what a response says, `sent` being when it was asked for (monotonic, s)."""
    text = await response.text()
    try:
        value = json.loads(text)
    except ValueError:
        return Answer(response.status, {}, time.monotonic() - sent, advised=False)
    body: dict[str, Any] = value if isinstance(value, dict) else {}
    if response.status < 400:
        body["status_of_order"] = body.get("status")
        advised = True
    else:
        body["status_of_order"] = _ended_as(body)
        advised = (
            response.headers.get("Content-Type", "").startswith("application/problem+json")
            and bool(body.get("request_id"))
            and bool(body.get("advice"))
        )
    return Answer(response.status, body, time.monotonic() - sent, advised)


def problem_of(body: Mapping[str, Any]) -> str | None:
    """Return the last part of a problem's type, None for anything else."""
    return str(body["type"]).rpartition("/")[2] if "type" in body else None


def _ended_as(problem: Mapping[str, Any]) -> str | None:
    """Return the state of the order that a refusal speaks of, None if it speaks of none."""
    slug = problem_of(problem)
    if slug is None or "order_id" not in problem:
        return None
    if slug == OUT_OF_STOCK:
        return "rejected"
    slug = slug.removeprefix("already-")
    return slug if slug in TERMINAL else None
