"""Network of a system: links that are cut by a proxy, or partitioned by the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from chaos.nemesis.network_namespace import Direction, NetworkNamespace


class Link(Protocol):
    """A proxy through which two parts reach each other."""

    async def cut(self, seconds: float) -> None: ...


@dataclass(slots=True)
class Network:
    """The `links` that can be cut, by name, and the namespace that the warehouse is behind.

    The warehouse has none (None) where a run needs none, or where there can be none.
    """

    links: Mapping[str, Link] = field(default_factory=dict)
    warehouse: NetworkNamespace | None = None

    async def cut(self, link: str, seconds: float) -> None:
        """Let nothing through a link for a while."""
        await self.links[link].cut(seconds)

    async def partition(self, link: str, seconds: float) -> None:
        """Have the kernel lose what passes a link (`DIRECTION inventory`) for a while."""
        direction, _, name = link.partition(" ")
        assert name == "inventory", link
        assert self.warehouse is not None, "the warehouse is in no namespace of its own"
        await self.warehouse.partition(cast("Direction", direction), seconds)
