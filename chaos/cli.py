"""Commands `valerix chaos …` and `valerix gremlin …`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Attack the platform and say whether it kept its promises.", no_args_is_help=True
)
gremlin = typer.Typer(help="Make inventory answer late, in a pattern that is known beforehand.")


def register(valerix: typer.Typer) -> None:
    """Add the commands to the command line."""
    valerix.add_typer(app, name="chaos")
    valerix.add_typer(gremlin, name="gremlin", no_args_is_help=True)


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
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Print the progress for programs.")
    ] = False,
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
    raise typer.Exit(attack(config, json_lines=json_lines))


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
        typer.echo(f"{each.name:<12} {each.about}")


@gremlin.command("on")
def gremlin_on(
    seed: Annotated[int | None, typer.Option(min=0, help="Which orders it picks.")] = None,
    share: Annotated[float | None, typer.Option(help="Of all orders, 0.2 is a fifth.")] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds.")] = None,
) -> None:
    """Let inventory's first answer to a fifth of all orders come 5 s late."""
    from chaos.gremlin import switch_on

    switch_on(seed=seed, share=share, delay_s=delay)


@gremlin.command("off")
def gremlin_off() -> None:
    """Take every fault rule away."""
    from chaos.gremlin import switch_off

    switch_off()


@gremlin.command("status")
def gremlin_status() -> None:
    """Which fault rules are in force."""
    from chaos.gremlin import show_rules

    show_rules()


@gremlin.command("predict")
def gremlin_predict(
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many orders ahead.")] = 20,
    customer: Annotated[str, typer.Option(help="Who orders.")] = "alice",
) -> None:
    """Which of the coming `valerix order` calls will be hit."""
    from chaos.gremlin import show_prediction

    show_prediction(count, customer)
