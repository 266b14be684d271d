"""Time limits for what several processes do together, less what the machine takes from them."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from chaos.client.scheduling_stalls import Stalls, stalled_s
from deploy.local.stack import Stack


@asynccontextmanager
async def kept_within(limit_s: float, stack: Stack, *names: str) -> AsyncIterator[None]:
    """Fail if what happens inside takes longer, while the machine lets us and these services run.

    They wait for each other, so what they lose adds up.
    """
    async with AsyncExitStack() as watching:
        watches = [
            await watching.enter_async_context(Stalls(partial(_pid_of, stack, name)))
            for name in names
        ]
        began = time.time()
        yield
        ended = time.time()
        for watch in watches:
            await watch.caught_up()
    first, *others = (watch.seen for watch in watches)
    seen = [first, *([stall for stall in each if stall[0] == "server"] for each in others)]
    took_s = ended - began - sum(stalled_s(stalls, began, ended) for stalls in seen)
    assert took_s < limit_s, f"{took_s:.2f} s"


def _pid_of(stack: Stack, name: str) -> int | None:
    return stack.processes[name].pid
