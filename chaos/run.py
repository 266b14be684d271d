"""One run from start to verdict: start the system, attack it under load, heal, drain, judge."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import aiohttp
import asyncpg
from temporalio.service import RPCError

from chaos.baseline.stack import BaselineStack
from chaos.checker import drain, prediction
from chaos.checker.attempts import read_attempts
from chaos.checker.check_result import Check, check
from chaos.checker.collect import TemporalReader, snapshots, statuses
from chaos.checker.fault_coverage import count_faults, planned_faults_fired
from chaos.checker.latency import compare_latencies
from chaos.checker.observations import Observations, Snapshot
from chaos.checker.orders import SETTLE_WITHIN_S, order_checks
from chaos.checker.prediction import Agreement, Disturbance, Identity
from chaos.checker.stock import stock_checks
from chaos.client.history import History
from chaos.client.load import Shoppers
from chaos.client.scheduling_stalls import Stalls
from chaos.nemesis import network_namespace
from chaos.nemesis.history_retention import forget
from chaos.nemesis.process_faults import Nemesis
from chaos.nemesis.recovery import ready_again
from chaos.run_config import RunConfig, plan_of
from chaos.run_result import RunProgress, RunResult
from chaos.target.own_stack import OthersStack, OwnStack
from deploy.local.errors import StartRefused
from deploy.local.services import ORDER
from service_kit.pool import POSTGRES_ERRORS

Found = TypeVar("Found")
SNAPSHOT_EVERY_S = 2.0
LATECOMERS_S = 12.0  # two delays of five seconds on one attempt, and some more
# How parts that are asked show that they are gone; a RuntimeError is the SDK's, for the engine.
GONE: tuple[type[Exception], ...] = (
    *POSTGRES_ERRORS,
    StartRefused,
    RPCError,
    RuntimeError,
    aiohttp.ClientError,
)
# Of the looks at the warehouse's books, what has to succeed: its database is away at times.
SEEN_SHARE = 0.3


class Run:
    """Carries out one run. `watch` is called whenever `progress` may have changed."""

    def __init__(self, config: RunConfig, watch: Callable[[RunProgress], None]) -> None:
        self._config = config
        self._watch = watch
        self._plan = plan_of(config)
        self._snapshots: list[Snapshot] = []
        self._looks = 0
        self._settled_at: list[float | None] = []
        self._rest_before: dict[UUID, str] = {}
        self._forgotten: frozenset[UUID] = frozenset()
        self._customers = {order.customer for order in self._plan.orders}
        self._stages = 0
        self._failures: list[str] = []
        self._began = time.monotonic()
        self._started_at = time.time()
        self.progress = RunProgress()

    async def go(self) -> RunResult:
        """Return the outcome; raises only if the system could not even be started."""
        config, scenario, out = self._config, self._config.scenario, self._config.out
        out.mkdir(parents=True, exist_ok=True)
        (out / "faults-planned.jsonl").write_text(self._plan.fault_list)
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            target = await enter(self._target())
            history = stack.enter_context(History(out / "history.jsonl"))
            shoppers = await enter(Shoppers(target.order_url, target.token, history))
            self.progress.counts = shoppers.counts
            naive, naive_shoppers, naive_history = None, None, None
            if config.naive is not None:
                self._say("starting the naive baseline")
                naive = await enter(BaselineStack(config.naive, replicas=1))
                naive_history = stack.enter_context(History(out / "history-naive.jsonl"))
                naive_shoppers = await enter(
                    Shoppers(naive.to_orders.url, naive.token, naive_history, until_settled=False)
                )
            stacks = [target.stack] if naive is None else [target.stack, naive.stack]
            events = Nemesis(stacks, out / "events.jsonl", target, config.skipped_faults)
            stalls = await enter(Stalls(lambda: target.stack.processes[ORDER].pid))
            watching = asyncio.create_task(self._look(target))
            try:
                await self._survive(
                    self._attack(target, shoppers, naive, naive_shoppers, events, stalls), None
                )
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            self._check_looks()
            await self._survive(self._forget(target, shoppers), None)
            if scenario.ends_with_blackout:
                await self._survive(self._black_out(target), None)
            self._say("judging")
            observations = await self._survive(
                drain.gather(target, self._plan.orders, history, self._forgotten),
                Observations.unread(self._plan.orders, history.entries),
            )
            observations.rest_before = self._rest_before
            disturbances = drain.disturbances_of(
                events.disturbances, observations, target.stack.state_dir.logs, self._started_at
            )
            observations.settled_within_s = drain.settled_within_s(
                observations, disturbances, self._settled_at
            )
            observations.stalls = [*stalls.seen, *events.shoppers_cut_off]
            observations.snapshots = self._snapshots
            agreement = await self._survive(
                self._agreement(
                    target, observations, [*disturbances, *drain.stood_still(observations)]
                ),
                Agreement(),
            )
            baseline_result = None
            if naive is not None and naive_history is not None:
                baseline_result = await self._survive(
                    naive.result(self._plan.orders, naive_history.entries), None
                )
            web_ui = target.web_ui
            self._say("stopping")
        faults = count_faults(
            scenario,
            observations,
            events.fired,
            self._plan.schedule,
            self._promised,
            history.entries,
            config.skipped_faults,
        )
        latency = compare_latencies(
            observations, self._plan.blocks, disturbances, enforced=scenario.keeps_pace
        )
        checks = [
            *stock_checks(observations),
            *order_checks(observations),
            self._all_came_back(),
            *latency.checks(),
            planned_faults_fired(faults, observations),
            agreement.as_check(),
        ]
        self.progress.violations = sum(each.count for each in checks)
        self._say("done")
        return RunResult(
            config, self._plan, checks, faults, agreement, latency, observations, shoppers.counts,
            events.disturbances, baseline_result, web_ui, self._started_at,
            time.monotonic() - self._began,
        )  # fmt: skip

    async def _attack(
        self,
        target: OwnStack,
        shoppers: Shoppers,
        naive: BaselineStack | None,
        naive_shoppers: Shoppers | None,
        events: Nemesis,
        stalls: Stalls,
    ) -> None:
        """Send all orders, part by part, and wait after each until all is at rest."""
        scenario, seed = self._config.scenario, self._config.seed
        skipped_faults = self._config.skipped_faults
        rules = [each for each in scenario.rules(seed) if each.name not in skipped_faults]
        network_faults = [
            each for each in scenario.network_faults(seed) if each.name not in skipped_faults
        ]
        targets = [each for each in (target, naive) if each is not None]
        schedule = self._plan.schedule
        parts = self._plan.parts()
        for place, (kind, orders) in enumerate(parts):
            self._say(kind if len(parts) == 1 else f"{kind} {place + 1}/{len(parts)}")
            if kind == "attack":
                await asyncio.gather(*(each.switch_on(rules, network_faults) for each in targets))
            lost_s = stalls.lost_from_now()
            late = events.behind_s if kind == "attack" and schedule else lost_s
            sending = [asyncio.create_task(shoppers.send(orders, 2 * SETTLE_WITHIN_S, late))]
            if naive_shoppers is not None:
                sending.append(
                    asyncio.create_task(naive_shoppers.send(orders, SETTLE_WITHIN_S, late))
                )
            try:
                if kind == "attack":
                    await events.run(schedule, lost_s)
                    schedule = ()  # all of them belong to the first attack
                await sending[0]
                healed_at = max(events.healed_at, shoppers.last_sent_at)
                self._settled_at.append(
                    await drain.wait_until_settled(target, healed_at, self._customers)
                )
                await asyncio.gather(*sending)
                # A late first attempt may still be on its way to what was predicted for it.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(target.to_inventory.quiet(), LATECOMERS_S)
            finally:
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)
                # Not before all is settled: whoever is late meets what was predicted for them.
                await asyncio.gather(*(each.switch_off() for each in targets))
        self._rest_before = await statuses(target.dsn("orders"))

    async def _survive(self, stage: Awaitable[Found], otherwise: Found) -> Found:
        """Go through it; what does not come back is a verdict, not the end of the run."""
        self._stages += 1
        try:
            return await stage
        except GONE as error:
            self._failures.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return otherwise

    def _check_looks(self) -> None:
        # How many there is time for is the machine's business.
        seen = len({shot.at for shot in self._snapshots})
        if seen < SEEN_SHARE * self._looks:
            self._failures.append(f"the warehouse's books were seen {seen} of {self._looks} times")

    def _all_came_back(self) -> Check:
        promise = "Whatever is killed, stopped or frozen works again"
        return check("I4a", promise, self._stages, self._failures)

    def _target(self) -> OwnStack:
        """Return what is to be attacked."""
        config, scenario = self._config, self._config.scenario
        if config.against is not None:
            return OthersStack(config.out, config.against)
        return OwnStack(
            config.out,
            replicas=scenario.replicas,
            lines=scenario.needs_tcp_proxies,
            namespace=scenario.needs_namespace and network_namespace.why_not() is None,
            progress=lambda name, what: self._say(f"{name}: {what}"),
        )

    @property
    def _promised(self) -> list[Identity]:
        """Whom the faults that are possible here will hit."""
        skipped_faults = self._config.skipped_faults
        return [each for each in self._plan.promised if each[0] not in skipped_faults]

    async def _forget(self, target: OwnStack, shoppers: Shoppers) -> None:
        """Let the engine forget some orders that ended, and send them once more."""
        count = self._config.scenario.forgets
        if not count:
            return
        self._say("forgetting what has ended")
        orders, hit = self._plan.orders, {each[1] for each in self._plan.promised}
        self._forgotten = await forget(
            target.temporal_address, target.dsn("orders"), shoppers, orders, hit, count
        )

    async def _black_out(self, target: OwnStack) -> None:
        """Kill every process at once; what the oracle reads afterwards has survived that."""
        self._say("killing everything")
        target.stack.kill_everything()
        for name in target.stack.processes:
            await ready_again(target.stack, name)

    async def _agreement(
        self, target: OwnStack, observations: Observations, disturbances: list[Disturbance]
    ) -> Agreement:
        temporal = await TemporalReader.connect(target.temporal_address)
        return await prediction.compare(
            self._promised,
            self._config.scenario.points,
            observations,
            lambda order_id: read_attempts(temporal.client, order_id),
            disturbances,
            drain.held_back(target.stack.state_dir.logs),
        )

    async def _look(self, target: OwnStack) -> None:
        """Watch the warehouse's books and the count of faults while the run goes on."""
        while True:
            await asyncio.sleep(SNAPSHOT_EVERY_S / 2)
            self._looks += 1
            with contextlib.suppress(*POSTGRES_ERRORS):
                taken = await snapshots(target.dsn("inventory"))
                self._snapshots += taken
                self.progress.violations += sum(not shot.conserves for shot in taken)
                self.progress.faults_fired = await _count_fired(target)
            self._watch(self.progress)
            await asyncio.sleep(SNAPSHOT_EVERY_S / 2)

    def _say(self, stage: str) -> None:
        self.progress.stage = stage
        self._watch(self.progress)


async def _count_fired(target: OwnStack) -> int:
    total = len(target.evidence.fired)
    for database in ("inventory", "orders"):
        connection = await asyncpg.connect(target.dsn(database), timeout=2.0)
        try:
            total += await connection.fetchval("SELECT count(*) FROM fault_log")
        finally:
            await connection.close()
    return total
