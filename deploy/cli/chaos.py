"""Commands `valerix chaos …`: attack the platform and say whether it kept its promises."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Attack the platform and say whether it kept its promises.", no_args_is_help=True
)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="One of `valerix chaos list`.")],
    seed: Annotated[int, typer.Option(help="Which orders and faults; the same again.")] = 1,
    orders: Annotated[
        int | None, typer.Option(help="How many; as many as the scenario needs unless told.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Orders a second, on average.")] = 15.0,
    out: Annotated[Path | None, typer.Option(help="Folder for the report and the logs.")] = None,
    naive: Annotated[
        Literal["retry-once", "give-up", "none"],
        typer.Option(help="What the usual way, beside it, does after a time-out."),
    ] = "retry-once",
    against: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The order service of a stack that runs here."),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(help="Sets the orders apart from others there; the time unless told."),
    ] = None,
) -> None:
    """Attack with a scenario. Exit code 0 only if every promise was kept."""
    import time

    from chaos.attack import attack
    from chaos.run_config import RunConfig
    from chaos.scenarios.catalogue import SCENARIOS

    chosen = SCENARIOS.get(scenario)
    if chosen is None:
        names = ", ".join(sorted(SCENARIOS))
        raise typer.BadParameter(f"there is no {scenario!r}; there are {names}")
    config = RunConfig(
        chosen,
        seed,
        orders or chosen.orders,
        rate,
        out or Path("reports") / f"{scenario}-{seed}",
        # There is no naive twin of a stack that somebody else has started.
        None if naive == "none" or against else naive,
        against=against,
        tag=(tag or f"run-{int(time.time())}") if against else "",
    )
    raise typer.Exit(attack(config))


@app.command()
def verify(
    seed: Annotated[
        int | None, typer.Option(help="Which orders and faults; one that is known unless told.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and the logs.")] = (
        Path("reports") / "verify"
    ),
) -> None:
    """Make the run that proves it, in some minutes."""
    from chaos.attack import attack, verification

    raise typer.Exit(attack(verification(seed, out)))


@app.command("list")
def list_scenarios() -> None:
    """Say what scenarios there are."""
    from chaos.scenarios.catalogue import SCENARIOS

    for each in SCENARIOS.values():
        print(f"{each.name:<12} {each.about}")
