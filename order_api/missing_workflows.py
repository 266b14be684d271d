"""Detection of open orders whose workflow was terminated, failed, cancelled or deleted.

Nobody tells the order service when an operator ends a workflow by hand, and to ask for each open
order by itself costs too much while thousands wait for the warehouse. So Temporal's lists are
asked, a thousand workflows at a time, and the relay is sent to the orders that stand out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from order_api.db.store import Store
from order_api.relay import Relay
from order_api.workflow_client import TEMPORAL_ERRORS, OrderWorkflows
from service_kit.observability import logs
from service_kit.postgres.pool import POSTGRES_ERRORS

POLL_INTERVAL_S = 10.0
# However long Temporal's lists have grown, reading them takes up no more than this part of it.
PAUSE_FACTOR = 20.0

_log = logs.get(__name__)


class MissingWorkflows:
    """Sends the relay to orders without a workflow until cancelled; replicas may each run one."""

    def __init__(self, store: Store, workflows: OrderWorkflows, relay: Relay) -> None:
        self._store = store
        self._workflows = workflows
        self._relay = relay
        self._known_runs: frozenset[str] = frozenset()
        self._unseen: frozenset[UUID] = frozenset()

    async def run(self) -> None:
        """Look for both kinds side by side: the short list must not wait for the long one."""
        async with asyncio.TaskGroup() as looks:
            looks.create_task(_repeat(self.find_ended))
            looks.create_task(_repeat(self.find_vanished))

    async def find_ended(self) -> None:
        """Send the relay to the orders of workflows that have ended badly since the last look.

        No clock is compared: what is new is told by run ids.
        """
        ended = await self._workflows.ended_unsettled()
        await self._send([order for run, order in ended.items() if run not in self._known_runs])
        self._known_runs = frozenset(ended)

    async def find_vanished(self) -> None:
        """Send the relay to open orders that two looks in a row have not found in Temporal.

        One look proves nothing: the lists lag behind the truth by a second or so.
        """
        expected = await self._store.orders_at_work() - self._relay.set_aside.orders
        running = await self._workflows.running() if expected else frozenset()
        unseen = expected - running
        await self._send(list(unseen & self._unseen))
        self._unseen = unseen

    async def _send(self, orders: list[UUID]) -> None:
        sent = await self._store.relay_now(orders) if orders else 0
        if sent:
            _log.warning("orders have lost their workflow", orders=sent)
            self._relay.nudge()


async def _repeat(look: Callable[[], Awaitable[None]]) -> None:
    while True:
        began = time.monotonic()
        try:
            await look()
        except (*TEMPORAL_ERRORS, *POSTGRES_ERRORS) as error:
            _log.info("cannot look for missing workflows", reason=type(error).__name__)
        await asyncio.sleep(max(POLL_INTERVAL_S, PAUSE_FACTOR * (time.monotonic() - began)))
