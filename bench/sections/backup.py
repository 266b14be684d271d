"""Section `backup`: what shoppers feel of a backup while it runs, and of archiving all day."""

import asyncio
from collections.abc import Iterable
from itertools import chain

from bench.harness.backups import BackedUp, backed_up
from bench.harness.load import Answers
from bench.harness.results import Row, at_most
from bench.harness.stack import Plan, harness, temporary_home
from bench.sections.throughput import full_rate
from service_kit.observability.percentile import percentile

BAR = 1.2
ORDERS = 1_000_000  # in the database that is backed up
RATE = 60.0
CONCURRENCY = 32
DRAIN_S = 120.0
_LONGEST_S = 3600.0


async def backup(plan: Plan) -> list[Row]:
    """Measure the wait for an answer, then the rate; with and without, A B B A."""
    return plan.report([*await _wait(plan), *await _rate(plan)])


def p95_ms(runs: Iterable[Answers]) -> float:
    """Return the 95th percentile of all answers of some runs together, in milliseconds."""
    return 1000 * percentile([*chain.from_iterable(run.latencies_s for run in runs)], 0.95)


async def _wait(plan: Plan) -> list[Row]:
    orders = ORDERS // 10 if plan.quick else ORDERS
    without: list[Answers] = []
    during: list[Answers] = []
    with temporary_home() as home:
        async with backed_up(plan, home, orders) as shop:
            # With one first: it is the date's own, and nothing on a schedule comes in between.
            for has_backup in (True, False, False, True):
                if has_backup:
                    during.append(await _during_backup(shop, plan))
                else:
                    without.append(await _without_backup(shop, plan))
                await shop.drained(DRAIN_S)
    without_ms, during_ms = p95_ms(without), p95_ms(during)
    factor = during_ms / without_ms
    lasted = " and ".join(f"{run.lasted_s:.0f}" for run in during)
    note = f"{_each(during)}; of {orders:,} orders, for {lasted} s"
    return [
        Row("backup", "p95 without a backup", without_ms, "ms", note=_each(without)),
        Row("backup", "p95 while one runs", during_ms, "ms", note=note),
        Row("backup", "with / without", factor, "", **at_most(BAR, "", factor)),
    ]


async def _without_backup(shop: BackedUp, plan: Plan) -> Answers:
    plan.say(f"{RATE:.0f} orders/s, no backup")
    shoppers = shop.shoppers(seed=60)
    await shoppers.open_model(RATE, plan.seconds(10))
    async with shop.cpu_usage():
        answers = await shoppers.open_model(RATE, plan.seconds(60))
    shoppers.close()
    return answers


async def _during_backup(shop: BackedUp, plan: Plan) -> Answers:
    """Return what came back for as long as a backup ran."""
    plan.say(f"{RATE:.0f} orders/s, with a backup")
    shoppers = shop.shoppers(seed=60)
    await shoppers.open_model(RATE, plan.seconds(10))
    async with shop.cpu_usage(), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(shop.back_up())
        answers = await shoppers.open_model(RATE, _LONGEST_S, goes_on=lambda: not running.done())
    shoppers.close()
    return answers


def _each(runs: list[Answers]) -> str:
    apart = " and ".join(f"{p95_ms([run]):.0f}" for run in runs)
    counted = sum(len(run.latencies_s) for run in runs)
    said = ", ".join(run.describe() for run in runs)
    return f"{apart} ms; {counted:,} orders at {RATE:.0f}/s: {said}"


async def _rate(plan: Plan) -> list[Row]:
    """Measure the peak of two stacks, of which one archives its log."""
    rates: dict[str, list[float]] = {"off": [], "on": []}
    with temporary_home() as home:
        async with harness(plan) as plain, backed_up(plan, home, 0) as archiving:
            shops = {"off": plain, "on": archiving}
            for shop in shops.values():
                await full_rate(shop, CONCURRENCY, 1.0, plan.seconds(5))
            for name in ("off", "on", "on", "off"):
                plan.say(f"orders/s, archiving {name}")
                answers, _ = await full_rate(
                    shops[name], CONCURRENCY, plan.seconds(3), plan.seconds(20)
                )
                rates[name].append(answers.rate)
    off, on = (sum(each) / len(each) for each in rates.values())
    apart = {name: " and ".join(f"{rate:.0f}" for rate in each) for name, each in rates.items()}
    return [
        Row("backup", "archiving off", off, "orders/s", note=apart["off"]),
        Row("backup", "archiving on", on, "orders/s", note=apart["on"]),
        Row("backup", "on / off", on / off, ""),
    ]
