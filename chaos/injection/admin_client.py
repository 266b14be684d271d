"""Client of the fault calls that a service has for staff, over whatever can ask it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from chaos.injection.rules import FaultRule

if TYPE_CHECKING:  # services have this module too, and need not have an HTTP client for it
    import aiohttp

FAULTS = "/v1/admin/faults"
CRASH = "/v1/admin/crash"
PAGE = 1000


class Ask(Protocol):
    """Asks one service as staff: returns the JSON of the answer, raises if it is a refusal."""

    async def __call__(self, method: str, path: str, body: Any = None) -> Any: ...


class ToldRule(BaseModel):
    """A rule as a service tells of it; one of another release may say more than we understand."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    share: float = 1.0

    @property
    def known(self) -> FaultRule | None:
        """The rule, None for one of a release that has other faults."""
        try:
            return FaultRule.model_validate(self.model_dump())
        except ValidationError:
            return None


class Offer(BaseModel):
    """A rule that a service offers to be put in force, with words for people."""

    model_config = ConfigDict(frozen=True)

    title: str
    description: str
    rule: ToldRule


class Hit(BaseModel):
    """A fault that will happen to an order, if that attempt takes place."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    operation: str
    attempt: int
    rule: str
    fault: str
    delay_s: float


class FiredFault(BaseModel):
    """A fault that has happened to an order; `at` is in UTC."""

    model_config = ConfigDict(frozen=True)

    id: int
    rule: str
    order_id: str
    operation: str
    attempt: int
    fault: str
    at: str


class FaultAdmin:
    """The fault controls of one service."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def rules(self) -> list[ToldRule]:
        """Return the rules in force."""
        return [ToldRule.model_validate(each) for each in await self._items("GET", FAULTS)]

    async def offers(self) -> list[Offer]:
        """Return the rules that are worth trying."""
        return [
            Offer.model_validate(each) for each in await self._items("GET", f"{FAULTS}/presets")
        ]

    async def put(self, rule: FaultRule | ToldRule) -> None:
        """Put a rule in force, in place of one of the same name."""
        await self._ask("PUT", f"{FAULTS}/{rule.name}", rule.model_dump(mode="json"))

    async def remove(self, name: str) -> None:
        """Take a rule out of force; refused (404) if there is none of this name."""
        await self._ask("DELETE", f"{FAULTS}/{name}")

    async def predict(self, order_ids: Sequence[str | UUID]) -> list[Hit]:
        """Return which of the orders the rules in force will hit, and how."""
        body = {"order_ids": [str(each) for each in order_ids]}
        items = await self._items("POST", f"{FAULTS}/predict", body)
        return [Hit.model_validate(each) for each in items]

    async def log(self, after: int = 0) -> list[FiredFault]:
        """Return up to `PAGE` faults that have fired with an id above `after`, oldest first."""
        path = f"{FAULTS}/log?after={after}&limit={PAGE}"
        return [FiredFault.model_validate(each) for each in await self._items("GET", path)]

    async def crash(self) -> None:
        """End the service's process the hard way."""
        await self._ask("POST", CRASH)

    async def _items(self, method: str, path: str, body: Any = None) -> list[Any]:
        found = await self._ask(method, path, body)
        return list(found["items"])


def over(session: "aiohttp.ClientSession", base_url: str) -> Ask:
    """Return what asks the service at `base_url`; the session brings a token of staff."""

    async def ask(method: str, path: str, body: Any = None) -> Any:
        async with session.request(method, f"{base_url}{path}", json=body) as response:
            response.raise_for_status()
            is_json = response.content_type == "application/json"
            return await response.json() if is_json else None

    return ask
