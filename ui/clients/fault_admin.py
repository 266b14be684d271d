"""Client of the fault controls of all services: what can be switched on, what is, what it did.

Where fault injection is off the calls answer 404, and there is nothing to show.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chaos.injection.admin_client import PAGE, FaultAdmin, FiredFault, Hit, Offer, ToldRule
from ui.clients.http import Http, NoAnswer, Refusal
from ui.identity import Identity

KEPT_FIRED = 8
KEPT_PREDICTIONS = 20_000
# The UI reads rules and evidence as staff: these calls are open to nobody else.
_READER = Identity("ui", "staff")


@dataclass(frozen=True, slots=True)
class Preset:
    """A rule that can be switched on at `owner` (a service's base URL)."""

    owner: str
    offer: Offer

    @property
    def name(self) -> str:
        """The rule's name, the same in every service."""
        return self.offer.rule.name


@dataclass(frozen=True, slots=True)
class Faults:
    """The fault controls as last seen; `allowed` is False where there are none."""

    allowed: bool = False
    rules: tuple[ToldRule, ...] = ()
    fired: int = 0
    recent: tuple[FiredFault, ...] = ()


class FaultApi:
    """Talks to the admin calls of every service that has them."""

    def __init__(self, http: Http, owners: Sequence[str], *, allowed: bool) -> None:
        self._http = http
        self._readers = {owner: self._admin(owner) for owner in owners}
        self._allowed = allowed
        self._seen = dict.fromkeys(owners, 0)
        self._fired = 0
        self._recent: deque[FiredFault] = deque(maxlen=KEPT_FIRED)
        self._rules: dict[str, tuple[ToldRule, ...]] = {}
        self._predicted: dict[str, list[Hit]] = {}
        self._predicted_for: dict[str, tuple[ToldRule, ...]] = {}

    async def poll(self) -> Faults:
        """Return rules and evidence; a service that is away keeps what was last known of it."""
        if not self._allowed:
            return Faults()
        for owner, reader in self._readers.items():
            try:
                self._rules[owner] = tuple(await reader.rules())
                await self._read_log(owner, reader)
            except (NoAnswer, Refusal):
                continue
        rules = tuple(rule for rules in self._rules.values() for rule in rules)
        return Faults(bool(self._rules), rules, self._fired, tuple(reversed(self._recent)))

    async def presets(self) -> list[Preset]:
        """Return what can be switched on."""
        found = []
        for owner, reader in self._readers.items():
            try:
                found += [Preset(owner, offer) for offer in await reader.offers()]
            except (NoAnswer, Refusal):
                continue
        return found

    async def switch_on(self, who: Identity, preset: Preset, share: float) -> None:
        """Put the preset's rule in force for a share of all orders."""
        rule = preset.offer.rule.model_copy(update={"share": share})
        await self._admin(preset.owner, who).put(rule)

    async def switch_off(self, who: Identity, preset: Preset) -> None:
        """Take it out of force; no harm if it is not."""
        try:
            await self._admin(preset.owner, who).remove(preset.name)
        except Refusal as refusal:
            if refusal.status != 404:
                raise

    async def predict(self, order_ids: Sequence[str]) -> list[Hit]:
        """Return which of the orders will be hit, as the rules stand.

        What is known is not asked again: the answer depends on nothing but rules and order.
        """
        if self._predicted_for != self._rules or len(self._predicted) > KEPT_PREDICTIONS:
            self._predicted_for, self._predicted = dict(self._rules), {}
        known = self._predicted
        if unknown := [order_id for order_id in order_ids if order_id not in known]:
            fresh: dict[str, list[Hit]] = {order_id: [] for order_id in unknown}
            for reader in self._readers.values():
                for hit in await reader.predict(unknown):
                    fresh[hit.order_id].append(hit)
            known.update(fresh)
        return [hit for order_id in order_ids for hit in known[order_id]]

    async def kill(self, who: Identity, service_url: str) -> None:
        """End a service's process the hard way."""
        await self._admin(service_url, who).crash()

    async def _read_log(self, owner: str, reader: FaultAdmin) -> None:
        while True:
            items = await reader.log(self._seen[owner])
            for item in items:
                self._seen[owner] = item.id
                self._fired += 1
                self._recent.append(item)
            if len(items) < PAGE:
                return

    def _admin(self, service_url: str, who: Identity = _READER) -> FaultAdmin:
        return FaultAdmin(partial(self._json, service_url, who))

    async def _json(
        self, service_url: str, who: Identity, method: str, path: str, body: Any = None
    ) -> dict[str, Any]:
        content = await self._http.ask(method, f"{service_url}{path}", who, body=body)
        found = json.loads(content) if content else {}
        if not isinstance(found, dict):
            raise NoAnswer("not an object")
        return found
