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

from chaos.baseline.stack import NaiveGround
from chaos.checker import drain, prediction
from chaos.checker.attempts import read_attempts
from chaos.checker.check_result import Check, check
from chaos.checker.collect import Engine, snapshots, statuses
from chaos.checker.fault_coverage import count_faults, planned_faults_fired
from chaos.checker.latency import pace_of
from chaos.checker.observations import Facts, Snapshot
from chaos.checker.orders import SETTLE_WITHIN_S, order_checks
from chaos.checker.prediction import Agreement, Disturbance, Identity
from chaos.checker.stock import stock_checks
from chaos.client.history import History
from chaos.client.load import Shoppers
from chaos.client.scheduling_stalls import Stalls
from chaos.nemesis import network_namespace
from chaos.nemesis.history_retention import forget
from chaos.nemesis.process_faults import Timed
from chaos.nemesis.recovery import ready_again
from chaos.run_config import Options, plan_of
from chaos.run_result import Outcome, Progress
from chaos.target.own_stack import Ground, OthersGround
from deploy.local.refusal import StartRefused
from deploy.local.services import ORDER
from service_kit.pool import TROUBLE

Found = TypeVar("Found")
SNAPSHOT_EVERY_S = 2.0
LATECOMERS_S = 12.0  # two delays of five seconds on one attempt, and some more
# How parts that are asked show that they are gone; a RuntimeError is the SDK's, for the engine.
GONE: tuple[type[Exception], ...] = (
    *TROUBLE,
    StartRefused,
    RPCError,
    RuntimeError,
    aiohttp.ClientError,
)
# Of the looks at the warehouse's books, what has to succeed: its database is away at times.
SEEN_SHARE = 0.3


class Run:
    """Carries out one run. `watch` is called whenever `progress` may have changed."""

    def __init__(self, options: Options, watch: Callable[[Progress], None]) -> None:
        self._options = options
        self._watch = watch
        self._plan = plan_of(options)
        self._snapshots: list[Snapshot] = []
        self._looks = 0
        self._settled_at: list[float | None] = []
        self._rest_before: dict[UUID, str] = {}
        self._forgotten: frozenset[UUID] = frozenset()
        self._customers = {order.customer for order in self._plan.orders}
        self._ordeals = 0
        self._fallen: list[str] = []
        self._began = time.monotonic()
        self._started_at = time.time()
        self.progress = Progress()

    async def go(self) -> Outcome:
        """Return the outcome; raises only if the system could not even be started."""
        options, scenario, out = self._options, self._options.scenario, self._options.out
        out.mkdir(parents=True, exist_ok=True)
        (out / "faults-planned.jsonl").write_text(self._plan.fault_list)
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            ground = await enter(self._ground())
            history = stack.enter_context(History(out / "history.jsonl"))
            shoppers = await enter(Shoppers(ground.order_url, ground.token, history))
            self.progress.tally = shoppers.tally
            naive, naive_shoppers, naive_history = None, None, None
            if options.naive is not None:
                self._say("starting the naive baseline")
                naive = await enter(NaiveGround(options.naive, replicas=1))
                naive_history = stack.enter_context(History(out / "history-naive.jsonl"))
                naive_shoppers = await enter(
                    Shoppers(naive.to_orders.url, naive.token, naive_history, until_settled=False)
                )
            stacks = [ground.stack] if naive is None else [ground.stack, naive.stack]
            events = Timed(stacks, out / "events.jsonl", ground, options.left_out)
            stalls = await enter(Stalls(lambda: ground.stack.processes[ORDER].pid))
            watching = asyncio.create_task(self._look(ground))
            try:
                await self._survive(
                    self._attack(ground, shoppers, naive, naive_shoppers, events, stalls), None
                )
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            self._check_looks()
            await self._survive(self._forget(ground, shoppers), None)
            if scenario.ends_with_blackout:
                await self._survive(self._black_out(ground), None)
            self._say("judging")
            facts = await self._survive(
                drain.gather(ground, self._plan.orders, history, self._forgotten),
                Facts.unread(self._plan.orders, history.entries),
            )
            facts.rest_before = self._rest_before
            disturbances = drain.disturbances_of(
                events.disturbances, facts, ground.stack.home.logs, self._started_at
            )
            facts.settled_within_s = drain.settled_within_s(facts, disturbances, self._settled_at)
            facts.stalls = [*stalls.seen, *events.shoppers_cut_off]
            facts.snapshots = self._snapshots
            agreement = await self._survive(
                self._agreement(ground, facts, [*disturbances, *drain.stood_still(facts)]),
                Agreement(),
            )
            naive_outcome = None
            if naive is not None and naive_history is not None:
                naive_outcome = await self._survive(
                    naive.outcome(self._plan.orders, naive_history.entries), None
                )
            web_ui = ground.web_ui
            self._say("stopping")
        faults = count_faults(
            scenario,
            facts,
            events.fired,
            self._plan.moments,
            self._promised,
            history.entries,
            options.left_out,
        )
        pace = pace_of(facts, self._plan.blocks, disturbances, enforced=scenario.keeps_pace)
        checks = [
            *stock_checks(facts),
            *order_checks(facts),
            self._all_came_back(),
            *pace.checks(),
            planned_faults_fired(faults, facts),
            agreement.as_check(),
        ]
        self.progress.violations = sum(each.count for each in checks)
        self._say("done")
        return Outcome(
            options, self._plan, checks, faults, agreement, pace, facts, shoppers.tally,
            events.disturbances, naive_outcome, web_ui, self._started_at,
            time.monotonic() - self._began,
        )  # fmt: skip

    async def _attack(
        self,
        ground: Ground,
        shoppers: Shoppers,
        naive: NaiveGround | None,
        naive_shoppers: Shoppers | None,
        events: Timed,
        stalls: Stalls,
    ) -> None:
        """Send all orders, part by part, and wait after each until all is at rest."""
        scenario, seed = self._options.scenario, self._options.seed
        left_out = self._options.left_out
        rules = [each for each in scenario.rules(seed) if each.name not in left_out]
        toxics = [each for each in scenario.toxics(seed) if each.name not in left_out]
        grounds = [each for each in (ground, naive) if each is not None]
        moments = self._plan.moments
        parts = self._plan.parts()
        for place, (kind, orders) in enumerate(parts):
            self._say(kind if len(parts) == 1 else f"{kind} {place + 1}/{len(parts)}")
            if kind == "attack":
                await asyncio.gather(*(each.switch_on(rules, toxics) for each in grounds))
            lost_s = stalls.lost_from_now()
            late = events.behind_s if kind == "attack" and moments else lost_s
            sending = [asyncio.create_task(shoppers.send(orders, 2 * SETTLE_WITHIN_S, late))]
            if naive_shoppers is not None:
                sending.append(
                    asyncio.create_task(naive_shoppers.send(orders, SETTLE_WITHIN_S, late))
                )
            try:
                if kind == "attack":
                    await events.run(moments, lost_s)
                    moments = ()  # all of them belong to the first attack
                await sending[0]
                healed_at = max(events.healed_at, shoppers.last_sent_at)
                self._settled_at.append(await drain.settle(ground, healed_at, self._customers))
                await asyncio.gather(*sending)
                # A late first attempt may still be on its way to what was predicted for it.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ground.to_inventory.quiet(), LATECOMERS_S)
            finally:
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)
                # Not before all is settled: whoever is late meets what was predicted for them.
                await asyncio.gather(*(each.switch_off() for each in grounds))
        self._rest_before = await statuses(ground.dsn("orders"))

    async def _survive(self, ordeal: Awaitable[Found], otherwise: Found) -> Found:
        """Go through it; what does not come back is a verdict, not the end of the run."""
        self._ordeals += 1
        try:
            return await ordeal
        except GONE as error:
            self._fallen.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return otherwise

    def _check_looks(self) -> None:
        # How many there is time for is the machine's business.
        seen = len({shot.at for shot in self._snapshots})
        if seen < SEEN_SHARE * self._looks:
            self._fallen.append(f"the warehouse's books were seen {seen} of {self._looks} times")

    def _all_came_back(self) -> Check:
        promise = "Whatever is killed, stopped or frozen works again"
        return check("I4a", promise, self._ordeals, self._fallen)

    def _ground(self) -> Ground:
        """Return what is to be attacked."""
        options, scenario = self._options, self._options.scenario
        if options.against is not None:
            return OthersGround(options.out, options.against)
        return Ground(
            options.out,
            replicas=scenario.replicas,
            lines=scenario.needs_lines,
            island=scenario.needs_island and network_namespace.why_not() is None,
            progress=lambda name, what: self._say(f"{name}: {what}"),
        )

    @property
    def _promised(self) -> list[Identity]:
        """Whom the faults that are possible here will hit."""
        left_out = self._options.left_out
        return [each for each in self._plan.promised if each[0] not in left_out]

    async def _forget(self, ground: Ground, shoppers: Shoppers) -> None:
        """Let the engine forget some orders that ended, and send them once more."""
        count = self._options.scenario.forgets
        if not count:
            return
        self._say("forgetting what has ended")
        orders, hit = self._plan.orders, {each[1] for each in self._plan.promised}
        self._forgotten = await forget(
            ground.temporal_address, ground.dsn("orders"), shoppers, orders, hit, count
        )

    async def _black_out(self, ground: Ground) -> None:
        """Kill every process at once; what the oracle reads afterwards has survived that."""
        self._say("killing everything")
        ground.stack.kill_everything()
        for name in ground.stack.processes:
            await ready_again(ground.stack, name)

    async def _agreement(
        self, ground: Ground, facts: Facts, disturbances: list[Disturbance]
    ) -> Agreement:
        engine = await Engine.connect(ground.temporal_address)
        return await prediction.compare(
            self._promised,
            self._options.scenario.points,
            facts,
            lambda order_id: read_attempts(engine.client, order_id),
            disturbances,
            drain.held_back(ground.stack.home.logs),
        )

    async def _look(self, ground: Ground) -> None:
        """Watch the warehouse's books and the count of faults while the run goes on."""
        while True:
            await asyncio.sleep(SNAPSHOT_EVERY_S / 2)
            self._looks += 1
            with contextlib.suppress(*TROUBLE):
                taken = await snapshots(ground.dsn("inventory"))
                self._snapshots += taken
                self.progress.violations += sum(not shot.conserves for shot in taken)
                self.progress.faults_fired = await _count_fired(ground)
            self._watch(self.progress)
            await asyncio.sleep(SNAPSHOT_EVERY_S / 2)

    def _say(self, stage: str) -> None:
        self.progress.stage = stage
        self._watch(self.progress)


async def _count_fired(ground: Ground) -> int:
    total = len(ground.evidence.fired)
    for database in ("inventory", "orders"):
        connection = await asyncpg.connect(ground.dsn(database), timeout=2.0)
        try:
            total += await connection.fetchval("SELECT count(*) FROM fault_log")
        finally:
            await connection.close()
    return total
