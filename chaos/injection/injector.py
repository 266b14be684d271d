"""Injector: makes the decided faults happen, and writes each one down before it does.

Rules and evidence live in the database of the process that is attacked. The evidence row is
committed first, and its key (rule, order, operation, attempt) is unique: a fault fires once even
if a crash makes the same attempt come again, and no replica fires what another already has.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import UUID

from prometheus_client import Counter
from pydantic import ValidationError
from starlette.responses import Response

from chaos.injection.rules import Call, FaultRule, decide
from service_kit.http.answer_instead import AnswerInstead
from service_kit.http.problems import internal_error
from service_kit.observability import logs
from service_kit.postgres.pool import POSTGRES_ERRORS, Pool, within

RELOAD_S = 1.0
DATABASE_S = 1.0
# Stands for whatever rule might have fired in a process that could not read its rules.
UNKNOWN = "any"
FIRED = Counter("faults_fired", "Faults injected into this process.", ["point", "fault"])
_log = logs.get(__name__)


class InjectedError(Exception):
    """What a fault of kind `error` raises outside of HTTP."""


class Injector:
    """The fault points of one process: rules from its database, evidence into it."""

    def __init__(self, owner: Literal["inventory", "orders"]) -> None:
        self._connections: Pool | None = None
        self.owner = owner
        # None until they have been read for the first time.
        self._rules: tuple[FaultRule, ...] | None = None

    @asynccontextmanager
    async def using(self, pool: Pool) -> AsyncIterator[None]:
        """Follow the rules in the database behind `pool`, and write the evidence there."""
        self._connections = pool
        # Before the first request: a process that a fault has just killed must know its rules.
        with contextlib.suppress(*POSTGRES_ERRORS):
            await self.reload()
        following = asyncio.create_task(self.keep_reloading())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    @property
    def _pool(self) -> Pool:
        assert self._connections is not None, "not started"
        return self._connections

    def planned(self, point: str, call: Call) -> bool:
        """Tell whether a rule fires for `call` at `point`, or has fired."""
        return bool(self._rules) and decide(self._rules or (), point, call) is not None

    async def reach(self, point: str, call: Call) -> None:
        """Fire the rule for `call` at `point`, if there is one and it has not fired before."""
        if self._rules is None:
            await self._catch_up(call)
        if not self._rules:
            return
        rule = decide(self._rules, point, call)
        if rule is None or not await self._write_down(rule, call):
            return
        FIRED.labels(point, rule.fault).inc()
        _log.warning(
            "fault fires",
            rule=rule.name,
            point=point,
            fault=rule.fault,
            order_id=str(call.order_id),
            operation=call.operation,
            attempt=call.attempt,
        )
        await _fire(rule, call)

    async def _catch_up(self, call: Call) -> None:
        """Read the rules at last; a process that came up without its database has none yet."""
        try:
            await self.reload()
        except POSTGRES_ERRORS as error:
            self._hold_back(UNKNOWN, call, error)

    def _hold_back(self, rule: str, call: Call, error: BaseException) -> None:
        _log.warning(
            "no evidence, no fault",
            rule=rule,
            order_id=str(call.order_id),
            reason=type(error).__name__,
        )

    async def _write_down(self, rule: FaultRule, call: Call) -> bool:
        try:
            async with within(self._pool, DATABASE_S) as connection:
                row = await connection.fetchrow(
                    EVIDENCE,
                    rule.name,
                    call.order_id,
                    call.operation,
                    call.attempt,
                    rule.point,
                    rule.fault,
                    os.getpid(),
                )
        except POSTGRES_ERRORS as error:
            self._hold_back(rule.name, call, error)
            return False
        except asyncio.CancelledError as error:  # whoever brought the call has no time left
            self._hold_back(rule.name, call, error)
            raise
        return row is not None

    async def reload(self) -> None:
        """Read the rules from the database."""
        async with within(self._pool, DATABASE_S) as connection:
            rows = await connection.fetch(RULES)
        self._rules = tuple(rule for row in rows if (rule := _readable(row["rule"])))

    async def keep_reloading(self) -> None:
        """Follow changes made through other replicas or by hand, for ever."""
        while True:
            try:
                await self.reload()
            except POSTGRES_ERRORS as error:
                _log.warning("fault rules not readable", reason=type(error).__name__)
            await asyncio.sleep(RELOAD_S)

    @property
    def rules(self) -> Sequence[FaultRule]:
        """The rules in force, by name."""
        return self._rules or ()

    async def put(self, rule: FaultRule) -> None:
        """Switch `rule` on, in place of one of the same name."""
        async with within(self._pool, DATABASE_S) as connection:
            await connection.execute(PUT_RULE, rule.name, rule.model_dump_json())
        await self.reload()

    async def remove(self, name: str) -> bool:
        """Switch the rule off; False if there was none."""
        async with within(self._pool, DATABASE_S) as connection:
            gone = await connection.fetchval(REMOVE_RULE, name)
        await self.reload()
        return gone is not None

    async def evidence(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return up to `limit` fired faults with an id above `after`, oldest first."""
        async with within(self._pool, DATABASE_S) as connection:
            return [dict(row) for row in await connection.fetch(FIRED_SINCE, after, limit)]


RULES = "SELECT rule FROM fault_rules ORDER BY name"
PUT_RULE = """
INSERT INTO fault_rules (name, rule) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET rule = excluded.rule, updated_at = now()
"""
REMOVE_RULE = "DELETE FROM fault_rules WHERE name = $1 RETURNING name"
EVIDENCE = """
INSERT INTO fault_log (rule, order_id, operation, attempt, point, fault, pid)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id
"""
FIRED_SINCE = """
SELECT id, rule, order_id, operation, attempt, point, fault, pid, at FROM fault_log
WHERE id > $1 ORDER BY id LIMIT $2
"""


async def _fire(rule: FaultRule, call: Call) -> None:
    match rule.fault:
        case "delay":
            await asyncio.sleep(rule.delay_s)
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "error" if rule.point.startswith("inventory."):
            raise AnswerInstead(internal_error().response())
        case "error":
            raise InjectedError(f"{rule.point}, attempt {call.attempt}")
        case "drop":
            raise AnswerInstead(None)
        case "corrupt":
            raise AnswerInstead(corrupted(call))


def _readable(text: str) -> FaultRule | None:
    """Return the rule, None for one of a release that has other faults."""
    try:
        return FaultRule.model_validate_json(text)
    except ValidationError:
        _log.warning("fault rule not understood, left out", rule=text[:200])
        return None


def corrupted(call: Call) -> Response:
    """Return one of three wrong answers with status 200; the order decides which."""
    bodies = (
        '{"order_id": "',
        json.dumps({"state": 7}),
        json.dumps({"order_id": str(UUID(int=call.order_id.int ^ 1)), "state": "held"}),
    )
    return Response(bodies[call.order_id.int % len(bodies)], media_type="application/json")
