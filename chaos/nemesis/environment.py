"""What a run builds up piece by piece: all of it or nothing, and no trace of it afterwards."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Self

from chaos.nemesis.http_proxy import Evidence, HttpProxy, call_at_inventory, call_at_orders
from chaos.scenarios.network_faults import NetworkFault


class Environment(ABC):
    """Starts in its with block; what `_start` has put on `_exits` is undone at the end."""

    def __init__(self) -> None:
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything."""
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything and delete it."""
        await self._exits.aclose()

    @abstractmethod
    async def _start(self) -> None: ...


class ProxiedEnvironment(Environment):
    """A system whose shoppers and whose warehouse are at the end of wires that spoil requests."""

    to_orders: HttpProxy
    to_inventory: HttpProxy

    async def _start_proxies(self, evidence: Evidence) -> None:
        enter = self._exits.enter_async_context
        self.to_inventory = await enter(HttpProxy("wire.inventory", call_at_inventory, evidence))
        self.to_orders = await enter(HttpProxy("wire.order", call_at_orders, evidence))

    def _spoil(self, network_faults: Sequence[NetworkFault]) -> None:
        """Put these toxics on both wires, in place of all others."""
        for wire in (self.to_orders, self.to_inventory):
            wire.network_faults = network_faults
