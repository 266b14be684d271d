"""The full path's peak against the bare engine's, and the CPU that an order costs by process."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from statistics import median

from bench.load import Answers
from bench.processes import OWN, memory_mib
from bench.results import Row, at_least, at_most
from bench.rig import OURS, Effort, Plan, Rig
from deploy.local.environment import passed_on
from deploy.local.ports import LOOPBACK
from deploy.local.settings import PROJECT

AT_ONCE = (16, 32, 64)
RATIO_BAR = 0.75
CPU_BAR_MS = 6.0
MEMORY_BAR_MIB = 1024.0


@dataclass(frozen=True, slots=True)
class Bare:
    """What the engine alone does per second, and the CPU for each: its process and the server."""

    rate: float
    cpu_ms: float
    temporal_ms: float


async def bare_rate(rig: Rig, at_once: int, warm_up_s: float, seconds: float) -> Bare:
    """Measure the engine alone, on this stack's Temporal server."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.bare", "--at-once", str(at_once)),
        *("--warm-up", str(warm_up_s), "--seconds", str(seconds)),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        env={
            **passed_on(),
            "TEMPORAL_ADDRESS": f"{LOOPBACK}:{rig.stack.settings.ports.temporal}",
            "TEMPORAL_NAMESPACE": "default",
            "TEMPORAL_CONFIG_FILE": os.devnull,
        },
    )
    async with rig.effort() as effort:
        answer, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the bare engine's process ended with code {process.returncode}")
    found = json.loads(answer)
    temporal_ms = effort.ms("temporal", found["with_warm_up"])
    return Bare(found["per_second"], found["cpu_ms"], temporal_ms)


async def full_rate(
    rig: Rig, at_once: int, warm_up_s: float, seconds: float
) -> tuple[Answers, Effort]:
    """Return what came back with `at_once` orders under way all the time, and what it cost."""
    shoppers = rig.shoppers(seed=at_once)
    await shoppers.closed_loop(at_once, warm_up_s, Answers())
    answers = Answers()
    async with rig.effort() as effort:
        await shoppers.closed_loop(at_once, seconds, answers)
    shoppers.close()
    return answers, effort


async def throughput(rig: Rig, plan: Plan) -> list[Row]:
    """Find both peaks, then measure them in turn: A B B A, twice, and take the medians."""
    warm_up_s, probe_s, seconds = plan.seconds(3), plan.seconds(4), plan.seconds(10)
    await full_rate(rig, 16, warm_up_s, probe_s)  # a start's first seconds are nobody's peak
    bare: dict[int, float] = {}
    full: dict[int, float] = {}
    for at_once in AT_ONCE:
        plan.say(f"looking for the peak, {at_once} at once")
        bare[at_once] = (await bare_rate(rig, at_once, warm_up_s, probe_s)).rate
        full[at_once] = (await full_rate(rig, at_once, 1.0, probe_s))[0].rate
    best_bare, best_full = max(bare, key=bare.__getitem__), max(full, key=full.__getitem__)

    bares, fulls = [], []
    for which in ("bare", "full", "full", "bare") * (1 if plan.quick else 2):
        plan.say(f"{which} in turn")
        if which == "bare":
            bares.append(await bare_rate(rig, best_bare, warm_up_s, seconds))
        else:
            fulls.append(await full_rate(rig, best_full, warm_up_s, seconds))
    bare_rates = [each.rate for each in bares]
    full_rates = [answers.rate for answers, _ in fulls]
    ratio = median(full_rates) / median(bare_rates)
    rows = [
        Row(
            "throughput",
            "bare engine",
            median(bare_rates),
            "/s",
            note=f"{best_bare} at once; {_all([each.rate for each in bares])}",
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
    return plan.report([*rows, *_cost(bares, fulls), *_memory(rig)])


def _all(rates: list[float]) -> str:
    return " and ".join(f"{rate:.0f}" for rate in rates)


def _cost(bares: list[Bare], runs: list[tuple[Answers, Effort]]) -> list[Row]:
    def typical(name: str) -> float:
        return median(effort.ms(name, answers.sent) for answers, effort in runs)

    ours = median(effort.ours_ms(answers.sent) for answers, effort in runs)
    others = median(effort.foreign for _, effort in runs)
    names = [*OURS, "temporal", "postgres"]
    names += [name for name in runs[0][1].cpu_s if name not in (*names, OWN)]
    sdk_ms = median(each.cpu_ms for each in bares)
    bare_ms = sdk_ms + median(each.temporal_ms for each in bares)
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
            bare_ms / full_ms,
            "",
            note=f"{bare_ms:.1f} and {full_ms:.1f} ms: the ratio of rates if CPU is the limit",
        ),
        *(Row("cpu", name, typical(name), "ms/order") for name in [*names, OWN]),
    ]


def _memory(rig: Rig) -> list[Row]:
    used, counted = memory_mib(rig.pids())
    total = sum(used.values())
    parts = ", ".join(f"{name} {mib:.0f}" for name, mib in used.items())
    note = f"{counted} after the load: {parts}"
    bar = at_most(MEMORY_BAR_MIB, "MiB", total)
    return [Row("memory", "whole stack", total, "MiB", **bar, note=note)]
