"""Open pages by the hundred: what they cost the UI, and how old what they show can get.

Each page is a real one: it is fetched, its web socket opened with the handshake that a browser
makes, and every update received and looked at. No browser draws it, for two hundred of those are
a measurement of something else.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import aiohttp
import itsdangerous
import psutil

from chaos.client.scheduling_stalls import Stalls, stalled_s
from deploy.local.settings import home_from
from ui.settings import UiSettings

_CLOCK = re.compile(rb"Last updated (\d\d:\d\d:\d\d) UTC")
_CLIENT = re.compile(r"'client_id': '([0-9a-f-]+)'")
# Whole seconds are shown, so what is brand new may look almost a second old.
_SHOWN_IN_S = 1.0
# Guards against a hang and nothing else: a busy machine builds two hundred pages in minutes.
OPENED_WITHIN_S = 600.0
# So many may be in the making at a time: people come by and by.
AT_ONCE = 10
# A shorter span is no news, whoever took it.
WORTH_A_LOOK_S = 1.5
ASKED = ("order_api", "inventory_api")


# From when until when, in unix seconds.
Span = tuple[float, float]


@dataclass
class PageObservations:
    """What the pages have noticed: `gaps` between updates and `ages` of what came."""

    pages: int = 1
    live: int = 0
    another: asyncio.Event = field(default_factory=asyncio.Event)
    # How long the server waits for the answer to a ping, as it says itself.
    answered_within_s: float = 0.0
    updates: int = 0
    sizes: int = 0
    gaps: list[Span] = field(default_factory=list)
    ages: list[Span] = field(default_factory=list)


async def open_page(
    session: aiohttp.ClientSession, url: str, path: str, seen: PageObservations
) -> None:
    """Open one page and watch it until cancelled."""
    async with session.get(f"{url}{path}") as answer:
        text = await answer.text()
        answer.raise_for_status()
    found = _CLIENT.search(text)
    assert found is not None, "not a page"
    query = {
        "client_id": found[1],
        "document_id": str(uuid4()),
        "tab_id": str(uuid4()),
        "next_message_id": "0",
        "implicit_handshake": "true",
        "EIO": "4",
        "transport": "websocket",
    }
    socket_url = f"{url}/_nicegui_ws/socket.io/"
    async with session.ws_connect(socket_url, params=query, max_msg_size=0) as socket:
        last: float | None = None
        async for message in socket:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            if data.startswith(b"0"):
                seen.answered_within_s = json.loads(data[1:])["pingTimeout"] / 1000
                await socket.send_str("40")  # join the default namespace
            elif data == b"2":
                await socket.send_str("3")  # pong
            elif (clock := _CLOCK.search(data)) is not None:
                now = time.time()
                seen.updates += 1
                seen.sizes += len(data)
                if last is None:
                    seen.live += 1
                    seen.another.set()
                else:
                    seen.gaps.append((last, now))
                seen.ages.append((now - _age(clock[1].decode()), now))
                last = now


def _age(shown: str) -> float:
    hours, minutes, seconds = map(int, shown.split(":"))
    today_s = time.time() % 86_400
    return max(today_s - (hours * 3600 + minutes * 60 + seconds) - _SHOWN_IN_S, 0.0)


def staff_cookie(home: Path) -> dict[str, str]:
    """Return the session cookie of a member of staff, as the UI of this home would have set it."""
    settings = UiSettings(token_key=(home / "secrets" / "token_key").read_text().strip())
    browser = str(uuid4())
    kept = {"staff_until": time.time() + 3600}
    (home / "ui" / f"storage-user-{browser}.json").write_text(json.dumps(kept))
    signer = itsdangerous.TimestampSigner(settings.session_secret())
    content = base64.b64encode(json.dumps({"id": browser}).encode())
    return {"session": signer.sign(content).decode()}


class MachineStalls:
    """Moments at which this process, the UI, or a service that it asks was kept from running.

    They wait for each other, so what they lose adds up.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._watches = [Stalls(partial(int, pid)) for pid in pids]

    async def watch(self, seconds: float) -> None:
        """Look on for so long."""
        async with AsyncExitStack() as stack:
            for watch in self._watches:
                await stack.enter_async_context(watch)
            await asyncio.sleep(seconds)

    def longest(self, spans: Sequence[Span]) -> float:
        """Return the longest of these spans, in seconds, without what the machine took of each."""
        return max((self._own(span) for span in spans), default=float("inf"))

    def _own(self, span: Span) -> float:
        begin, end = span
        if end - begin < WORTH_A_LOOK_S:
            return end - begin
        first, *others = (watch.seen for watch in self._watches)
        seen = [first, *([stall for stall in each if stall[0] == "server"] for each in others)]
        return end - begin - sum(stalled_s(stalls, begin, end) for stalls in seen)


async def measure(
    url: str,
    pid: int,
    home: Path,
    *,
    asks: Sequence[int] = (),
    pages: int = 200,
    seconds: float = 20,
    also: str = "/",
) -> dict[str, float]:
    """Return what `pages` open pages on /ops, and one on `also`, cost the UI with this `pid`.

    `asks` are the processes of the services that it asks.
    """
    process, stalls = psutil.Process(pid), MachineStalls([pid, *asks])
    seen, other = PageObservations(pages), PageObservations()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookies=staff_cookie(home)
    ) as session:
        opened = [asyncio.create_task(open_page(session, url, also, other))]
        await _open_all(session, url, seen, opened)
        # building pages is paid for once; what is measured is keeping them up to date
        seen.updates = seen.sizes = 0
        seen.gaps.clear()
        seen.ages.clear()
        before, began = process.cpu_times(), time.monotonic()
        await stalls.watch(seconds)
        after, took = process.cpu_times(), time.monotonic() - began
        failed = [task for task in opened if task.done()]
        for task in opened:
            task.cancel()
        await asyncio.gather(*opened, return_exceptions=True)
    cpu = after.user + after.system - before.user - before.system
    return {
        "pages": pages,
        "failed": len(failed),
        "answered_within_s": seen.answered_within_s,
        "cores": round(cpu / took, 3),
        "resident_mib": round(process.memory_info().rss / 2**20, 1),
        "updates_per_page_and_s": round(seen.updates / pages / took, 2),
        "bytes_per_update": round(seen.sizes / max(seen.updates, 1)),
        "longest_gap_s": _longest(seen.gaps),
        "oldest_s": _longest(seen.ages),
        # the same without what the machine makes everybody wait, which is not the pages' doing
        "longest_gap_of_ours_s": round(stalls.longest(seen.gaps), 2),
        "oldest_of_ours_s": round(stalls.longest(seen.ages), 2),
    }


async def _open_all(
    session: aiohttp.ClientSession,
    url: str,
    seen: PageObservations,
    opened: list[asyncio.Task[None]],
) -> None:
    for number in range(seen.pages):
        opened.append(asyncio.create_task(open_page(session, url, "/ops", seen)))
        await asyncio.sleep(0.05)
        await _caught_up(seen, number - AT_ONCE, opened)
    await _caught_up(seen, seen.pages, opened)


async def _caught_up(
    seen: PageObservations, least: int, opened: Sequence[asyncio.Task[None]]
) -> None:
    """Wait until so many pages have shown something; raise what ended one of them before."""
    end = time.monotonic() + OPENED_WITHIN_S
    while seen.live < least:
        for page in opened:
            if page.done():
                page.result()
                raise ConnectionError(f"a page was sent away; {seen.live} have shown something")
        if time.monotonic() > end:
            raise TimeoutError(f"{seen.live} of {seen.pages} pages have shown something")
        seen.another.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seen.another.wait(), 1.0)


def _longest(spans: Sequence[Span]) -> float:
    return round(max((end - begin for begin, end in spans), default=float("inf")), 2)


def main() -> None:
    """Measure the running stack of VALERIX_HOME."""
    home = home_from(os.environ)
    children = json.loads((home / "state.json").read_text())["children"]
    asks = [children[name]["pid"] for name in ASKED]
    url = f"http://127.0.0.1:{children['ui']['port']}"
    found = asyncio.run(measure(url, children["ui"]["pid"], home, asks=asks))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
