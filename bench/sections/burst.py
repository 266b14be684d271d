"""Section `burst`: ten thousand orders in ten seconds, all answered durably, all ended right."""

import time

from activities.contracts import OPEN
from bench.harness.load import ABOUT_AN_ORDER
from bench.harness.results import Row
from bench.harness.stack import Harness, Plan
from service_kit.observability.percentile import percentile

RATE = 1000.0
DRAIN_S = 600.0


async def burst(harness: Harness, plan: Plan) -> list[Row]:
    """Offer 1,000 orders a second; clients send again what was answered 503."""
    seconds = 3.0 if plan.quick else 10.0
    before = sum((await harness.by_status()).values())
    plan.say(f"{RATE * seconds:,.0f} orders at {RATE:,.0f}/s")
    shoppers = harness.shoppers(seed=1000)
    began = time.perf_counter()
    answers = await shoppers.open_model(RATE, seconds, retry=True)
    answered_s = time.perf_counter() - began
    shoppers.close()
    plan.say(f"answered after {answered_s:.0f} s ({answers.describe()}), draining")
    drained_s = answered_s + await harness.drained(DRAIN_S)

    after = await harness.by_status()
    sent = len(answers.latencies_s)
    stored = sum(after.values()) - before
    durable = sum(answers.statuses[status] for status in ABOUT_AN_ORDER)
    still_open = sum(count for status, count in after.items() if status in OPEN)
    right = await harness.stock_is_right()
    return plan.report(
        [
            Row(
                "burst",
                "answered durably",
                durable,
                "orders",
                f"all {sent}",
                durable == sent == stored,
                f"{answers.describe()}; {answers.retries} retries; "
                f"generator's p99 lag {1000 * percentile(answers.lags_s, 0.99):.0f} ms",
            ),
            Row("burst", "last answer after", answered_s, "s"),
            Row("burst", "p99 of the answers", percentile(answers.latencies_s, 0.99), "s"),
            Row(
                "burst",
                "still open after the drain",
                still_open,
                "orders",
                "0",
                still_open == 0 and right,
                f"{'no oversell, stock moved once per line' if right else 'STOCK IS WRONG'}; "
                + ", ".join(f"{count} {status}" for status, count in after.items()),
            ),
            Row("burst", "all ended after", drained_s, "s"),
            Row("burst", "rate over all", sent / drained_s, "orders/s"),
        ]
    )
