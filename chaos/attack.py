"""Attack from start to end: a run with its progress on the terminal, and its exit code."""

import asyncio
import signal
import sys
from pathlib import Path

from chaos.console import RunConsole, print_result, show_json
from chaos.report import write
from chaos.run import Run
from chaos.run_config import RunConfig
from chaos.run_result import RunResult
from chaos.scenarios.catalogue import VERIFY
from deploy.local.errors import StartRefused
from deploy.terminal import print_refusal
from service_kit.http.server import event_loop


def attack(config: RunConfig, *, json_lines: bool = False) -> int:
    """Carry out a run; return 0 only if every promise was kept, 2 if it could not begin.

    With `json_lines` its progress is printed for programs, and nothing else.
    """
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        try:
            result = runner.run(_attack(config, json_lines=json_lines))
        except StartRefused as refusal:
            print_refusal(refusal)
            return 2
        except asyncio.CancelledError:
            sys.stderr.write(
                f"Stopped. All processes are ended; what was seen is in {config.out}\n"
            )
            return 130
    return 0 if result.passed else 1


def verification(seed: int | None, out: Path) -> RunConfig:
    """Return the run that `make verify` and the pipeline make."""
    seed = VERIFY.seed if seed is None else seed
    return RunConfig(VERIFY.scenario, seed, VERIFY.orders, VERIFY.rate, out)


async def _attack(config: RunConfig, *, json_lines: bool) -> RunResult:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    stopping = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        for number in stopping:  # once: what is cleaned up now has to be cleaned up
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in stopping:
        loop.add_signal_handler(number, stop)
    if json_lines:
        result = await Run(config, show_json).go()
        write(result)
        return result
    with RunConsole() as console:
        result = await Run(config, console.show).go()
    print_result(result, write(result))
    return result
