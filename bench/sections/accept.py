"""Section `accept`: the wait for an answer at a steady rate, with and without trouble."""

import signal

from bench.harness.load import Answers
from bench.harness.results import Row, at_most
from bench.harness.stack import CpuUsage, Harness, Plan
from service_kit.observability.percentile import percentile

RATE = 60.0
BUDGET_S = 2.0
DRAIN_S = 120.0


async def _offered(harness: Harness, plan: Plan, seconds: float) -> tuple[Answers, CpuUsage]:
    shoppers = harness.shoppers(seed=60)
    async with harness.cpu_usage() as cpu_usage:
        answers = await shoppers.open_model(RATE, seconds, warm_up_s=plan.seconds(5))
    shoppers.close()
    return answers, cpu_usage


def _rows(
    weather: str, answers: Answers, cpu_usage: CpuUsage, p50_bar: float | None, p99_bar: float
) -> list[Row]:
    p50, p99 = (1000 * percentile(answers.latencies_s, share) for share in (0.5, 0.99))
    lag = 1000 * percentile(answers.lags_s, 0.99)
    note = f"{answers.describe()}; {cpu_usage.foreign:.0%} of the machine used by others"
    bar = at_most(p50_bar, "ms", p50) if p50_bar is not None else {}
    return [
        Row("accept", f"{weather}: p50", p50, "ms", **bar, note=note),
        Row(
            "accept",
            f"{weather}: p99",
            p99,
            "ms",
            **at_most(p99_bar, "ms", p99),
            note=f"longest {1000 * max(answers.latencies_s):.0f} ms; "
            f"generator's p99 lag {lag:.1f} ms",
        ),
    ]


async def accept(harness: Harness, plan: Plan) -> list[Row]:
    """Offer 60 orders a second: all well; inventory silent; and with waiting switched off."""
    seconds = plan.seconds(30)
    plan.say(f"{RATE:.0f} orders/s, all well")
    answers, cpu_usage = await _offered(harness, plan, seconds)
    rows = _rows("all well", answers, cpu_usage, 60, 250)
    ours = cpu_usage.ours_ms(answers.sent)
    rows.append(Row("accept", "all well: worker + both APIs", ours, "ms/order", note="CPU"))
    await harness.drained(DRAIN_S)

    plan.say(f"{RATE:.0f} orders/s, inventory takes connections and never answers")
    harness.stack.kill("inventory_api", signal.SIGSTOP)
    try:
        answers, cpu_usage = await _offered(harness, plan, seconds)
    finally:
        harness.stack.kill("inventory_api", signal.SIGCONT)
    rows += _rows("inventory silent", answers, cpu_usage, None, 1000 * BUDGET_S + 200)
    drained = await harness.drained(DRAIN_S)
    rows.append(Row("accept", "inventory back: all settled after", drained, "s"))

    plan.say(f"{RATE:.0f} orders/s, not waiting for the outcome")
    await harness.stack.restart("order_api", ORDER_ANSWER_BUDGET_S="0")
    try:
        answers, cpu_usage = await _offered(harness, plan, seconds)
        await harness.drained(DRAIN_S)
    finally:
        await harness.stack.restart("order_api", ORDER_ANSWER_BUDGET_S=str(BUDGET_S))
    rows += _rows("wait switched off", answers, cpu_usage, None, 50)
    return plan.report(rows)
