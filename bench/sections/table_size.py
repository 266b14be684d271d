"""Section `flat`: what an order costs when a million went before, on two stacks in turn."""

from bench.harness.bulk_orders import fill
from bench.harness.load import Answers
from bench.harness.results import Row, at_least
from bench.harness.stack import Plan, harness
from bench.sections.throughput import full_rate

BAR = 0.9
ORDERS = 1_000_000
CONCURRENCY = 32


async def table_size(plan: Plan) -> list[Row]:
    """Measure the rate with and without a million orders, A B B A."""
    orders = ORDERS // 10 if plan.quick else ORDERS
    seconds = plan.seconds(15)
    async with harness(plan) as empty, harness(plan) as full:
        await fill(full, plan, 1, orders)
        rates: dict[str, list[float]] = {"empty": [], "full": []}
        for which in (empty, full):
            await full_rate(which, CONCURRENCY, 1.0, plan.seconds(5))
        for name in ("empty", "full", "full", "empty"):
            plan.say(f"orders/s, {name} database")
            answers: Answers
            answers, _ = await full_rate(
                empty if name == "empty" else full, CONCURRENCY, plan.seconds(3), seconds
            )
            rates[name].append(answers.rate)
    without, with_them = (sum(rates[name]) / 2 for name in ("empty", "full"))
    ratio = with_them / without
    return plan.report(
        [
            Row("flat", "without orders in the database", without, "orders/s"),
            Row("flat", f"with {orders:,}", with_them, "orders/s"),
            Row("flat", "with / without", ratio, "", **at_least(BAR, "", ratio)),
        ]
    )
