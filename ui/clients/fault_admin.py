"""Client of the services' fault controls: what can be switched on, what is, what it did.

Only what comes over HTTP is known here. Where fault injection is off the calls answer 404, and
there is nothing to show.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ui.clients.http import Http, NoAnswer, Refusal
from ui.identity import Identity

KEPT_FIRED = 8
PAGE = 1000
KEPT_PREDICTIONS = 20_000
_ADMIN = "/v1/admin/faults"
# The UI reads rules and evidence as staff: these calls are open to nobody else.
_READER = Identity("ui", "staff")


@dataclass(frozen=True, slots=True)
class Preset:
    """A rule that can be switched on at `owner` (a service's base URL)."""

    owner: str
    title: str
    description: str
    rule: dict[str, Any]

    @property
    def name(self) -> str:
        """The rule's name, the same in every service."""
        return str(self.rule["name"])


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that has happened to an order."""

    at: str
    rule: str
    fault: str
    order_id: str
    operation: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that will happen to an order."""

    order_id: str
    rule: str
    fault: str
    operation: str
    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Faults:
    """The fault controls as last seen; `allowed` is False where there are none."""

    allowed: bool = False
    rules: tuple[dict[str, Any], ...] = ()
    fired: int = 0
    recent: tuple[Fired, ...] = ()


class FaultApi:
    """Talks to the admin calls of every service that has them."""

    def __init__(self, http: Http, owners: Sequence[str], *, allowed: bool) -> None:
        self._http = http
        self._owners = tuple(owners)
        self._allowed = allowed
        self._seen = dict.fromkeys(owners, 0)
        self._fired = 0
        self._recent: deque[Fired] = deque(maxlen=KEPT_FIRED)
        self._rules: dict[str, tuple[dict[str, Any], ...]] = {}
        self._predicted: dict[str, list[Hit]] = {}
        self._predicted_for: dict[str, tuple[dict[str, Any], ...]] = {}

    async def poll(self) -> Faults:
        """Return rules and evidence; a service that is away keeps what was last known of it."""
        if not self._allowed:
            return Faults()
        for owner in self._owners:
            try:
                found = await self._json("GET", owner, "")
                self._rules[owner] = tuple(found["items"])
                await self._read_log(owner)
            except (NoAnswer, Refusal):
                continue
        rules = tuple(rule for rules in self._rules.values() for rule in rules)
        return Faults(bool(self._rules), rules, self._fired, tuple(reversed(self._recent)))

    async def presets(self) -> list[Preset]:
        """Return what can be switched on."""
        found = []
        for owner in self._owners:
            try:
                items = (await self._json("GET", owner, "/presets"))["items"]
            except (NoAnswer, Refusal):
                continue
            found += [Preset(owner, i["title"], i["description"], i["rule"]) for i in items]
        return found

    async def switch_on(self, who: Identity, preset: Preset, share: float) -> None:
        """Put the preset's rule in force for a share of all orders."""
        rule = {**preset.rule, "share": share}
        await self._json("PUT", preset.owner, f"/{preset.name}", who=who, body=rule)

    async def switch_off(self, who: Identity, preset: Preset) -> None:
        """Take it out of force; no harm if it is not."""
        try:
            await self._json("DELETE", preset.owner, f"/{preset.name}", who=who)
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
            for owner in self._owners:
                found = await self._json("POST", owner, "/predict", body={"order_ids": unknown})
                for item in found["items"]:
                    fresh[item["order_id"]].append(Hit(**item))
            known.update(fresh)
        return [hit for order_id in order_ids for hit in known[order_id]]

    async def kill(self, who: Identity, service_url: str) -> None:
        """End a service's process the hard way."""
        await self._http.ask("POST", f"{service_url}/v1/admin/crash", who)

    async def _read_log(self, owner: str) -> None:
        while True:
            path = f"/log?after={self._seen[owner]}&limit={PAGE}"
            items = (await self._json("GET", owner, path))["items"]
            for item in items:
                self._seen[owner] = item["id"]
                self._fired += 1
                self._recent.append(
                    Fired(
                        at=str(item["at"])[11:19],
                        rule=item["rule"],
                        fault=item["fault"],
                        order_id=item["order_id"],
                        operation=item["operation"],
                        attempt=item["attempt"],
                    )
                )
            if len(items) < PAGE:
                return

    async def _json(
        self, method: str, owner: str, path: str, *, who: Identity = _READER, body: Any = None
    ) -> dict[str, Any]:
        content = await self._http.ask(method, f"{owner}{_ADMIN}{path}", who, body=body)
        found = json.loads(content) if content else {}
        if not isinstance(found, dict):
            raise NoAnswer("not an object")
        return found
