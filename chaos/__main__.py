"""`python -m chaos run SCENARIO`: attack the platform and say whether it kept its promises."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from chaos.console import RunConsole, print_result
from chaos.report import write
from chaos.run import Run
from chaos.run_config import RunConfig
from chaos.run_result import RunResult
from chaos.scenarios.catalogue import SCENARIOS, VERIFY
from deploy.local.errors import StartRefused
from deploy.terminal import print_refusal
from service_kit.server import event_loop


def main() -> None:
    """Run what the command line asks for; exit code 0 only if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="attack the platform with a scenario")
    run.add_argument("scenario", choices=sorted(SCENARIOS))
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--orders", type=int, help="how many; as many as the scenario needs")
    run.add_argument("--rate", type=float, default=15.0, help="orders a second, on average")
    run.add_argument("--out", type=Path, help="folder for the report and the logs")
    run.add_argument("--naive", choices=("retry-once", "give-up", "none"), default="retry-once")
    run.add_argument("--against", metavar="URL", help="the order service of a stack that runs here")
    run.add_argument("--tag", help="sets the orders apart from others there; by default the time")
    verify = commands.add_parser("verify", help="the run that proves it, in some minutes")
    verify.add_argument("--seed", type=int, default=VERIFY.seed)
    verify.add_argument("--out", type=Path, default=Path("reports") / "verify")
    commands.add_parser("list", help="say what scenarios there are")
    arguments = parser.parse_args()
    if arguments.command == "list":
        for each in SCENARIOS.values():
            sys.stdout.write(f"{each.name:<12} {each.about}\n")
        return
    if arguments.command == "verify":
        config = verification(arguments.seed, arguments.out)
    else:
        out = arguments.out or Path("reports") / f"{arguments.scenario}-{arguments.seed}"
        config = RunConfig(
            SCENARIOS[arguments.scenario],
            arguments.seed,
            arguments.orders or SCENARIOS[arguments.scenario].orders,
            arguments.rate,
            out,
            # There is no naive twin of a stack that somebody else has started.
            None if arguments.naive == "none" or arguments.against else arguments.naive,
            against=arguments.against,
            tag=(arguments.tag or f"run-{int(time.time())}") if arguments.against else "",
        )
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        try:
            result = runner.run(attack(config))
        except StartRefused as refusal:
            print_refusal(refusal)
            sys.exit(2)
        except asyncio.CancelledError:
            sys.stderr.write(
                f"Stopped. All processes are ended; what was seen is in {config.out}\n"
            )
            sys.exit(130)
    sys.exit(0 if result.passed else 1)


def verification(seed: int, out: Path) -> RunConfig:
    """Return the run that `make verify` and the pipeline make."""
    return RunConfig(VERIFY.scenario, seed, VERIFY.orders, VERIFY.rate, out)


async def attack(config: RunConfig) -> RunResult:
    """Carry out a run with progress on the terminal."""
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
    with RunConsole() as screen:
        result = await Run(config, screen.show).go()
    print_result(result, write(result))
    return result


if __name__ == "__main__":
    main()
