"""One run from start to result: start the system, attack it under load, drain, judge."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import aiohttp
from temporalio.service import RPCError

from chaos.checker import drain
from chaos.checker.agreement import Agreement, compare
from chaos.checker.attempts import read_attempts
from chaos.checker.backup_collect import collect_backups
from chaos.checker.backup_findings import BackupFindings
from chaos.checker.backups import backup_checks
from chaos.checker.check_result import Check, check
from chaos.checker.collect import collect
from chaos.checker.databases import statuses
from chaos.checker.disturbances import disturbances_of, held_back, stood_still
from chaos.checker.fault_coverage import count_faults, planned_faults_fired
from chaos.checker.invariants import order_checks, stock_checks
from chaos.checker.latency import compare_latencies
from chaos.checker.observations import Observations
from chaos.checker.orders import SETTLE_WITHIN_S
from chaos.checker.temporal import TemporalReader
from chaos.nemesis.processes import ready_again
from chaos.participants import Setting, start
from chaos.run_config import RunConfig
from chaos.run_result import RunProgress, RunResult
from chaos.scenarios.records import Disturbance
from chaos.scenarios.schedule import ScheduledEvent
from chaos.scenarios.workload import PlannedOrder
from chaos.target.target import Target
from deploy.local.errors import StartRefused
from service_kit.postgres.pool import POSTGRES_ERRORS

Found = TypeVar("Found")
LATECOMERS_S = 12.0  # two delays of five seconds on one attempt, and some more
# How parts that are asked show that they are gone; a RuntimeError is the SDK's, for Temporal.
GONE: tuple[type[Exception], ...] = (
    *POSTGRES_ERRORS,
    StartRefused,
    RPCError,
    RuntimeError,
    aiohttp.ClientError,
)


class Run:
    """Carries out one run. `on_progress` is called whenever `progress` may have changed."""

    def __init__(self, config: RunConfig, on_progress: Callable[[RunProgress], None]) -> None:
        self._config = config
        self._on_progress = on_progress
        self._settled_at: list[float | None] = []
        self._rest_before: dict[UUID, str] = {}
        self._forgotten: frozenset[UUID] = frozenset()
        self._backups = BackupFindings()
        self._stages = 0
        self._failures: list[str] = []
        self._began = time.monotonic()
        self._started_at = time.time()
        self.progress = RunProgress()

    async def go(self) -> RunResult:
        """Return the result; raises only if the system could not even be started."""
        self._config.out.mkdir(parents=True, exist_ok=True)
        (self._config.out / "faults-planned.jsonl").write_text(self._config.plan.fault_list)
        async with start(self._config, self._say) as setting:
            self.progress.counts = setting.shoppers.counts
            watching = asyncio.create_task(setting.watch.go_on(lambda: self._notice(setting)))
            try:
                await self._survive(self._attack(setting), None)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            if failure := setting.watch.failure():
                self._failures.append(failure)
            await self._survive(self._forget(setting), None)
            if self._config.scenario.ends_with_blackout:
                await self._survive(self._black_out(setting.target), None)
            await self._survive(self._back_up(setting), None)
            self._say("judging")
            result = await self._judge(setting)
            self._say("stopping")
        self.progress.violations = sum(each.count for each in result.checks)
        self._say("done")
        result.seconds = time.monotonic() - self._began
        return result

    async def _attack(self, setting: Setting) -> None:
        """Send all orders, part by part, and wait after each until all is at rest."""
        parts = self._config.plan.parts()
        schedule = self._config.plan.schedule
        for place, (kind, orders) in enumerate(parts):
            self._say(kind if len(parts) == 1 else f"{kind} {place + 1}/{len(parts)}")
            if kind == "attack":
                await self._send(setting, orders, schedule)
                schedule = ()  # all of them belong to the first attack
            else:
                await self._send(setting, orders, None)
        self._rest_before = await statuses(setting.target.system.dsn("orders"))

    async def _send(
        self,
        setting: Setting,
        orders: Sequence[PlannedOrder],
        schedule: Sequence[ScheduledEvent] | None,
    ) -> None:
        """Send orders, under attack unless `schedule` is None; return when they are at rest."""
        target, baseline, nemesis = setting.target, setting.baseline, setting.nemesis
        if schedule is not None:
            await self._switch_on(setting)
        lost_s = setting.stalls.lost_from_now()
        late = nemesis.behind_s if schedule else lost_s
        sending = [asyncio.create_task(setting.shoppers.send(orders, 2 * SETTLE_WITHIN_S, late))]
        if baseline is not None:
            sending.append(
                asyncio.create_task(baseline.shoppers.send(orders, SETTLE_WITHIN_S, late))
            )
        try:
            if schedule is not None:
                await nemesis.run(schedule, lost_s)
            await sending[0]
            healed_at = max(nemesis.healed_at, setting.shoppers.last_sent_at)
            customers = {order.customer for order in self._config.plan.orders}
            dsn = target.system.dsn("orders")
            self._settled_at.append(await drain.wait_until_settled(dsn, healed_at, customers))
            await asyncio.gather(*sending)
            # A late first attempt may still be on its way to what was predicted for it.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(target.to_inventory.quiet(), LATECOMERS_S)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            # Not before all is settled: whoever is late meets what was predicted for them.
            await asyncio.gather(*(each.switch_off() for each in setting.attacked))

    async def _switch_on(self, setting: Setting) -> None:
        scenario, seed, skipped = (
            self._config.scenario, self._config.seed, self._config.skipped_faults,
        )  # fmt: skip
        rules = [each for each in scenario.rules(seed) if each.name not in skipped]
        network_faults = [
            each for each in scenario.network_faults(seed) if each.name not in skipped
        ]
        await asyncio.gather(*(each.switch_on(rules, network_faults) for each in setting.attacked))

    async def _forget(self, setting: Setting) -> None:
        """Have Temporal forget some orders that ended, and send them once more."""
        count, plan, target = self._config.scenario.forgets, self._config.plan, setting.target
        if not count:
            return
        self._say("forgetting what has ended")
        ended = await statuses(target.system.dsn("orders"))
        hit = {each[1] for each in plan.promised}
        chosen = await target.temporal_faults.forget(plan.orders, ended, hit, count)
        await asyncio.gather(*(setting.shoppers.again(order) for order in chosen))
        self._forgotten = frozenset(order.order_id for order in chosen)

    async def _black_out(self, target: Target) -> None:
        """Kill every process at once; what is read afterwards has survived that."""
        self._say("killing everything")
        target.system.kill_everything()
        for name in target.system.processes:
            await ready_again(target.system, name)

    async def _back_up(self, setting: Setting) -> None:
        """Have one more backup, and look at what is there of all of them."""
        if (faults := setting.target.backup_faults) is None:
            return
        self._say("backing up once more, restoring")
        self._backups = await collect_backups(
            faults, setting.target, self._config.plan.orders, setting.history
        )

    async def _judge(self, setting: Setting) -> RunResult:
        """Collect what there is to know, and return what it proves."""
        config, plan, nemesis = self._config, self._config.plan, setting.nemesis
        backed_up = setting.target.backup_faults is not None
        observations = await self._observe(setting)
        disturbances = disturbances_of(
            nemesis.disturbances, observations, setting.target.system.logs, self._started_at
        )
        observations.settled_within_s = drain.settled_within_s(
            observations, disturbances, self._settled_at
        )
        agreement = await self._survive(
            self._agreement(setting.target, observations, disturbances), Agreement()
        )
        outcomes = None
        if (baseline := setting.baseline) is not None:
            outcomes = await self._survive(
                baseline.stack.result(plan.orders, baseline.history.entries), None
            )
        faults = count_faults(
            config.scenario,
            observations,
            nemesis.fired,
            plan.schedule,
            config.promised,
            config.skipped_faults,
        )
        latency = compare_latencies(
            observations, plan.blocks, disturbances, enforced=config.scenario.keeps_pace
        )
        checks = [
            *stock_checks(observations),
            *order_checks(observations),
            *(backup_checks(self._backups, observations) if backed_up else ()),
            self._all_came_back(),
            *latency.checks(),
            planned_faults_fired(faults, observations),
            agreement.as_check(),
        ]
        return RunResult(
            config, checks, faults, agreement, latency, observations,
            setting.shoppers.counts, nemesis.disturbances, outcomes, setting.target.web_ui,
            self._started_at, time.monotonic() - self._began,
        )  # fmt: skip

    async def _observe(self, setting: Setting) -> Observations:
        orders, history = self._config.plan.orders, setting.history
        found = await self._survive(
            collect(setting.target, orders, history, self._forgotten),
            Observations.unread(orders, history.entries),
        )
        found.rest_before = self._rest_before
        found.stalls = [*setting.stalls.seen, *setting.nemesis.shoppers_cut_off]
        found.snapshots = setting.watch.snapshots
        return found

    async def _agreement(
        self, target: Target, observations: Observations, disturbances: list[Disturbance]
    ) -> Agreement:
        client = (await TemporalReader.connect(target.temporal_address)).client
        return await compare(
            self._config.promised,
            self._config.scenario.points,
            observations,
            lambda order_id: read_attempts(client, order_id),
            [*disturbances, *stood_still(observations)],
            held_back(target.system.logs),
        )

    async def _survive(self, stage: Awaitable[Found], otherwise: Found) -> Found:
        """Go through a stage; what does not come back is a failure, not the end of the run."""
        self._stages += 1
        try:
            return await stage
        except GONE as error:
            self._failures.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return otherwise

    def _all_came_back(self) -> Check:
        promise = "Whatever is killed, stopped or frozen works again"
        return check("I4a", promise, self._stages, self._failures)

    def _notice(self, setting: Setting) -> None:
        """Show what the last look at the books has found."""
        self.progress.violations = setting.watch.violations
        self.progress.faults_fired = setting.watch.faults_fired + len(setting.target.evidence.fired)
        self._on_progress(self.progress)

    def _say(self, stage: str) -> None:
        self.progress.stage = stage
        self._on_progress(self.progress)
