"""Target: the system under attack, where it is asked, and what can be done to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from chaos.injection.rules import FaultRule
from chaos.nemesis.backup_faults import BackupFaults
from chaos.nemesis.environment import Environment
from chaos.nemesis.fault_proxy import Evidence, FaultProxy, call_at_inventory, call_at_orders
from chaos.nemesis.network import Network
from chaos.nemesis.system import System
from chaos.nemesis.temporal_faults import TemporalFaults
from chaos.scenarios.network_faults import Link, NetworkFault
from chaos.scenarios.scenario import EventKind
from chaos.target.fault_rules import OWNERS, FaultRules, owner_of


class Attackable(Protocol):
    """A system that faults can be switched on in."""

    async def switch_on(
        self, rules: Sequence[FaultRule], network_faults: Sequence[NetworkFault]
    ) -> None: ...

    async def switch_off(self) -> None: ...


class Target(Attackable, Protocol):
    """A whole system under attack.

    `events` are the kinds of event that are possible here, `proxied` the links that have a proxy.
    `network` is None where the links between the processes are not ours, `backup_faults` where
    there are no backups, or none of ours. `shared`: others use the system as well, and what they do
    in it is none of the run's business.
    """

    events: ClassVar[frozenset[EventKind]]
    proxied: ClassVar[frozenset[Link]]
    shared: ClassVar[bool]
    system: System
    to_orders: FaultProxy
    to_inventory: FaultProxy
    evidence: Evidence
    network: Network | None
    temporal_faults: TemporalFaults
    backup_faults: BackupFaults | None

    @property
    def temporal_address(self) -> str: ...

    @property
    def web_ui(self) -> str: ...

    def token(self, subject: str, role: str = "shopper") -> str: ...


class ProxiedSystem(Environment):
    """A system whose shoppers and whose warehouse are behind proxies that spoil requests."""

    rule_owners: ClassVar[tuple[str, ...]] = OWNERS
    system: System
    to_orders: FaultProxy
    to_inventory: FaultProxy
    evidence: Evidence

    async def _start_proxies(self, out: Path | None = None) -> None:
        """Start both; what they spoil is written down in `out`, if told."""
        enter = self._exits.enter_async_context
        file = None
        if out is not None:
            file = self._exits.enter_context((out / "faults-on-the-wire.jsonl").open("w"))
        self.evidence = evidence = Evidence(file)
        self.to_inventory = await enter(FaultProxy("wire.inventory", call_at_inventory, evidence))
        self.to_orders = await enter(FaultProxy("wire.order", call_at_orders, evidence))

    def token(self, subject: str, role: str = "shopper") -> str:
        """Return a token that the system accepts."""
        return self.system.token(subject, role)

    async def switch_on(
        self, rules: Sequence[FaultRule], network_faults: Sequence[NetworkFault]
    ) -> None:
        """Put the faults in force in every process and on every link that they are for."""
        here = [rule for rule in rules if owner_of(rule) in self.rule_owners]
        if here:
            await self._rules.put(here)
        self._set_network_faults(network_faults)

    async def switch_off(self) -> None:
        """Take all faults away."""
        self._set_network_faults(())
        await self._rules.remove_all()

    @property
    def _rules(self) -> FaultRules:
        return FaultRules(self.system, self.rule_owners)

    def _set_network_faults(self, network_faults: Sequence[NetworkFault]) -> None:
        for proxy in (self.to_orders, self.to_inventory):
            proxy.network_faults = network_faults
