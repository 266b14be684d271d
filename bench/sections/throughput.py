"""Section `throughput`: the full path's peak against the bare SDK's, and CPU per order."""

import asyncio
import json
import sys
from dataclasses import dataclass
from statistics import median

from bench.harness.load import Answers
from bench.harness.processes import OWN, memory_mib
from bench.harness.results import Row, at_least, at_most
from bench.harness.stack import OURS, CpuUsage, Harness, Plan
from deploy.local.process.environment import service_environment
from deploy.local.services import temporal_environment
from deploy.local.settings import PROJECT

CONCURRENCY = (16, 32, 64)
RATIO_BAR = 0.75
CPU_BAR_MS = 6.0
MEMORY_BAR_MIB = 1024.0


@dataclass(frozen=True, slots=True)
class SdkBaseline:
    """What the engine alone does per second, and the CPU for each: its process and the server."""

    rate: float
    cpu_ms: float
    temporal_ms: float


async def baseline_rate(
    harness: Harness, concurrency: int, warm_up_s: float, seconds: float
) -> SdkBaseline:
    """Measure the engine alone, on this stack's Temporal server."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.peers.sdk_baseline", "--concurrency", str(concurrency)),
        *("--warm-up", str(warm_up_s), "--seconds", str(seconds)),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        env={
            **service_environment(),
            **temporal_environment(harness.stack.settings.ports.temporal),
        },
    )
    async with harness.cpu_usage() as cpu_usage:
        answer, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the baseline's process ended with code {process.returncode}")
    found = json.loads(answer)
    temporal_ms = cpu_usage.ms("temporal", found["with_warm_up"])
    return SdkBaseline(found["per_second"], found["cpu_ms"], temporal_ms)


async def full_rate(
    harness: Harness, concurrency: int, warm_up_s: float, seconds: float
) -> tuple[Answers, CpuUsage]:
    """Return what came back with `concurrency` orders under way all the time, and what it cost."""
    shoppers = harness.shoppers(seed=concurrency)
    await shoppers.closed_loop(concurrency, warm_up_s, Answers())
    answers = Answers()
    async with harness.cpu_usage() as cpu_usage:
        await shoppers.closed_loop(concurrency, seconds, answers)
    shoppers.close()
    return answers, cpu_usage


async def throughput(harness: Harness, plan: Plan) -> list[Row]:
    """Find both peaks, then measure them in turn: A B B A, twice, and take the medians."""
    warm_up_s, probe_s, seconds = plan.seconds(3), plan.seconds(4), plan.seconds(10)
    await full_rate(harness, 16, warm_up_s, probe_s)  # a start's first seconds are nobody's peak
    baseline: dict[int, float] = {}
    full: dict[int, float] = {}
    for concurrency in CONCURRENCY:
        plan.say(f"looking for the peak, {concurrency} at once")
        baseline[concurrency] = (await baseline_rate(harness, concurrency, warm_up_s, probe_s)).rate
        full[concurrency] = (await full_rate(harness, concurrency, 1.0, probe_s))[0].rate
    best_baseline, best_full = (
        max(baseline, key=baseline.__getitem__),
        max(full, key=full.__getitem__),
    )

    baselines, fulls = [], []
    for which in ("baseline", "full", "full", "baseline") * (1 if plan.quick else 2):
        plan.say(f"{which} in turn")
        if which == "baseline":
            baselines.append(await baseline_rate(harness, best_baseline, warm_up_s, seconds))
        else:
            fulls.append(await full_rate(harness, best_full, warm_up_s, seconds))
    baseline_rates = [each.rate for each in baselines]
    full_rates = [answers.rate for answers, _ in fulls]
    ratio = median(full_rates) / median(baseline_rates)
    rows = [
        Row(
            "throughput",
            "bare engine",
            median(baseline_rates),
            "/s",
            note=f"{best_baseline} at once; {_all([each.rate for each in baselines])}",
        ),
        Row(
            "throughput",
            "full path",
            median(full_rates),
            "orders/s",
            note=f"{best_full} at once; {_all([each.rate for each, _ in fulls])}; "
            f"asked again {sum(answers.retries for answers, _ in fulls)} times",
        ),
        Row("throughput", "full path / bare", ratio, "", **at_least(RATIO_BAR, "", ratio)),
    ]
    return plan.report([*rows, *_cost(baselines, fulls), *_memory(harness)])


def _all(rates: list[float]) -> str:
    return " and ".join(f"{rate:.0f}" for rate in rates)


def _cost(baselines: list[SdkBaseline], runs: list[tuple[Answers, CpuUsage]]) -> list[Row]:
    def typical(name: str) -> float:
        return median(cpu_usage.ms(name, answers.sent) for answers, cpu_usage in runs)

    ours = median(cpu_usage.ours_ms(answers.sent) for answers, cpu_usage in runs)
    others = median(cpu_usage.foreign for _, cpu_usage in runs)
    names = [*OURS, "temporal", "postgres"]
    names += [name for name in runs[0][1].cpu_s if name not in (*names, OWN)]
    sdk_ms = median(each.cpu_ms for each in baselines)
    baseline_ms = sdk_ms + median(each.temporal_ms for each in baselines)
    full_ms = sum(typical(name) for name in [*names, OWN])
    return [
        Row(
            "cpu",
            "worker + order_api + inventory_api",
            ours,
            "ms/order",
            **at_most(CPU_BAR_MS, "ms", ours),
            note=f"at the peak; {others:.0%} of the machine was used by others",
        ),
        Row(
            "cpu",
            "the same / bare engine's process",
            ours / sdk_ms,
            "",
            note=f"which needs {sdk_ms:.1f} ms on this machine today",
        ),
        Row(
            "cpu",
            "bare engine / full path, all processes",
            baseline_ms / full_ms,
            "",
            note=f"{baseline_ms:.1f} and {full_ms:.1f} ms: the ratio of rates if CPU is the limit",
        ),
        *(Row("cpu", name, typical(name), "ms/order") for name in [*names, OWN]),
    ]


def _memory(harness: Harness) -> list[Row]:
    used, counted = memory_mib(harness.pids())
    total = sum(used.values())
    parts = ", ".join(f"{name} {mib:.0f}" for name, mib in used.items())
    note = f"{counted} after the load: {parts}"
    bar = at_most(MEMORY_BAR_MIB, "MiB", total)
    return [Row("memory", "whole stack", total, "MiB", **bar, note=note)]
