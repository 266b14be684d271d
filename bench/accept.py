"""How long a shopper waits for an answer, at a steady rate, in fair weather and foul."""

import signal

from bench.load import Answers, quantile
from bench.results import Row, at_most
from bench.rig import Effort, Plan, Rig

RATE = 60.0
BUDGET_S = 2.0
DRAIN_S = 120.0


async def _offered(rig: Rig, plan: Plan, seconds: float) -> tuple[Answers, Effort]:
    shoppers = rig.shoppers(seed=60)
    async with rig.effort() as effort:
        answers = await shoppers.open_model(RATE, seconds, warm_up_s=plan.seconds(5))
    shoppers.close()
    return answers, effort


def _rows(
    weather: str, answers: Answers, effort: Effort, p50_bar: float | None, p99_bar: float
) -> list[Row]:
    p50, p99 = (1000 * quantile(answers.latencies_s, share) for share in (0.5, 0.99))
    lag = 1000 * quantile(answers.lags_s, 0.99)
    note = f"{answers.describe()}; {effort.foreign:.0%} of the machine used by others"
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


async def accept(rig: Rig, plan: Plan) -> list[Row]:
    """Offer 60 orders a second: all well; inventory silent; and with waiting switched off."""
    seconds = plan.seconds(30)
    plan.say(f"{RATE:.0f} orders/s, all well")
    answers, effort = await _offered(rig, plan, seconds)
    rows = _rows("all well", answers, effort, 60, 250)
    ours = effort.ours_ms(answers.sent)
    rows.append(Row("accept", "all well: worker + both APIs", ours, "ms/order", note="CPU"))
    await rig.drained(DRAIN_S)

    plan.say(f"{RATE:.0f} orders/s, inventory takes connections and never answers")
    rig.stack.kill("inventory_api", signal.SIGSTOP)
    try:
        answers, effort = await _offered(rig, plan, seconds)
    finally:
        rig.stack.kill("inventory_api", signal.SIGCONT)
    rows += _rows("inventory silent", answers, effort, None, 1000 * BUDGET_S + 200)
    drained = await rig.drained(DRAIN_S)
    rows.append(Row("accept", "inventory back: all settled after", drained, "s"))

    plan.say(f"{RATE:.0f} orders/s, not waiting for the outcome")
    await rig.stack.restart("order_api", ORDER_ANSWER_BUDGET_S="0")
    try:
        answers, effort = await _offered(rig, plan, seconds)
        await rig.drained(DRAIN_S)
    finally:
        await rig.stack.restart("order_api", ORDER_ANSWER_BUDGET_S=str(BUDGET_S))
    rows += _rows("wait switched off", answers, effort, None, 50)
    return plan.report(rows)
