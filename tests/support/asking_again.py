"""Requests that are sent again while they are answered 503, as clients of ours do.

A busy machine may say 503 first, as the contract has it; whoever asks again loses nothing by it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

Answer = TypeVar("Answer")
PAUSE_S = 0.05


async def kept(
    send: Callable[[], Awaitable[httpx.Response]], within_s: float = 30.0
) -> httpx.Response:
    """Return the first answer but 503; fail if there is none in time."""
    end = time.monotonic() + within_s
    while (answer := await send()).status_code == 503:
        assert time.monotonic() < end, f"nothing but 503 within {within_s:g} s"
        await asyncio.sleep(PAUSE_S)
    return answer


def at_last(
    send: Callable[[], Answer], status: Callable[[Answer], int], within_s: float = 30.0
) -> Answer:
    """Return the first answer but 503, or the last 503, for whoever has no event loop."""
    end = time.monotonic() + within_s
    while status(answer := send()) == 503 and time.monotonic() < end:
        time.sleep(PAUSE_S)
    return answer


def status_of(answer: httpx.Response) -> int:
    return answer.status_code
