"""All who take part in a run, started together and gone at its end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from chaos.baseline.stack import BaselineStack
from chaos.checker.snapshots import Watch
from chaos.client.history import History
from chaos.client.load import Shoppers
from chaos.client.scheduling_stalls import Stalls
from chaos.nemesis import network_namespace
from chaos.nemesis.nemesis import Nemesis
from chaos.run_config import RunConfig
from chaos.target.own_stack import OwnTarget
from chaos.target.running_stack import RunningTarget
from chaos.target.target import Attackable, Target
from deploy.local.services import ORDER


@dataclass(frozen=True, slots=True)
class Baseline:
    """The naive service beside the target, and its own shoppers."""

    stack: BaselineStack
    shoppers: Shoppers
    history: History


@dataclass(frozen=True, slots=True)
class Setting:
    """All who take part in a run."""

    target: Target
    shoppers: Shoppers
    history: History
    baseline: Baseline | None
    nemesis: Nemesis
    stalls: Stalls
    watch: Watch

    @property
    def attacked(self) -> list[Attackable]:
        """The systems that faults are switched on in."""
        return [self.target] if self.baseline is None else [self.target, self.baseline.stack]


@asynccontextmanager
async def start(config: RunConfig, say: Callable[[str], None]) -> AsyncIterator[Setting]:
    """Start everything, and stop it at the end; `say` is told what is being started."""
    async with AsyncExitStack() as exits:
        enter = exits.enter_async_context
        target = await enter(_target(config, say))
        history = exits.enter_context(History(config.out / "history.jsonl"))
        shoppers = await enter(Shoppers(target.to_orders.url, target.token, history))
        baseline = await _start_baseline(config, exits, say)
        nemesis = Nemesis(
            [target.system] if baseline is None else [target.system, baseline.stack.system],
            config.out / "events.jsonl",
            network=target.network,
            orders=target.temporal_faults,
            backups=target.backup_faults,
            skipped=config.skipped_faults,
        )
        stalls = await enter(Stalls(lambda: target.system.processes[ORDER].pid))
        watch = Watch(target.system.dsn)
        yield Setting(target, shoppers, history, baseline, nemesis, stalls, watch)


def _target(config: RunConfig, say: Callable[[str], None]) -> AbstractAsyncContextManager[Target]:
    if config.against is not None:
        return RunningTarget(config.out, config.against)
    scenario = config.scenario
    return OwnTarget(
        config.out,
        replicas=scenario.replicas,
        tcp_proxies=scenario.needs_tcp_proxies,
        backups=scenario.needs_backups,
        namespace=scenario.needs_namespace and network_namespace.why_not() is None,
        progress=lambda name, what: say(f"{name}: {what}"),
    )


async def _start_baseline(
    config: RunConfig, exits: AsyncExitStack, say: Callable[[str], None]
) -> Baseline | None:
    if config.naive is None:
        return None
    say("starting the naive baseline")
    stack = await exits.enter_async_context(BaselineStack(config.naive, replicas=1))
    history = exits.enter_context(History(config.out / "history-naive.jsonl"))
    shoppers = Shoppers(stack.to_orders.url, stack.token, history, until_settled=False)
    return Baseline(stack, await exits.enter_async_context(shoppers), history)
