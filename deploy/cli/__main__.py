"""Command line `valerix`.

Each command imports what it needs when it runs: `up` stays in memory next to the services, and a
`token` in a shell's command substitution should come at once.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli import chaos
from deploy.local.errors import StartRefused
from deploy.local.process.environment import drop_foreign_variables
from deploy.local.temporal.database_file import PUT_ASIDE

app = typer.Typer(
    name="valerix",
    help="Run the shop on this machine, look at it, place orders, break it and measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
gremlin = typer.Typer(help="Make inventory answer late, in a pattern that is known beforehand.")
app.add_typer(gremlin, name="gremlin", no_args_is_help=True)
app.add_typer(chaos.app, name="chaos")


@app.command()
def up(
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what goes wrong.")] = False,
    put_aside: Annotated[
        bool,
        typer.Option(PUT_ASIDE, help="If it is damaged: start with a new one, keep the old one."),
    ] = False,
) -> None:
    """Start everything and stay until Ctrl-C."""
    from deploy.cli.up import run

    raise typer.Exit(run(quiet=quiet, put_aside=put_aside))


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What runs, how it feels, since when, in which version. Exit code 1 if not all is well."""
    from deploy.cli.status import show_status

    raise typer.Exit(show_status(as_json=as_json))


@app.command()
def token(
    sub: Annotated[str, typer.Option(help="Who it is for: the customer's name.")] = "alice",
    role: Annotated[str, typer.Option(help="shopper, staff or service.")] = "shopper",
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = 86_400,
) -> None:
    """Print a token that the services of this stack accept, and nothing else."""
    from deploy.local.running_stack import issue_token

    print(issue_token(sub, role, ttl))


@app.command()
def order(
    items: Annotated[list[str], typer.Argument(metavar="SKU=QTY...", help="What to order.")],
    key: Annotated[
        str | None, typer.Option(help="Idempotency-Key; cli-1, cli-2, … unless told.")
    ] = None,
    customer: Annotated[str, typer.Option(help="Who orders.")] = "alice",
) -> None:
    """Place an order and follow it to its end. Exit code 1 unless it is shipped."""
    from deploy.cli.order import place_and_follow

    raise typer.Exit(place_and_follow(items, key, customer))


@app.command()
def stop() -> None:
    """Stop the stack that runs in another terminal, and wait until it is gone."""
    from deploy.cli.status import stop_stack

    stop_stack()


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all orders, stock, keys and logs of this stack."""
    from deploy.cli.status import reset_home

    reset_home(yes=yes)


@gremlin.command("on")
def gremlin_on(
    seed: Annotated[int | None, typer.Option(min=0, help="Which orders it picks.")] = None,
    share: Annotated[float | None, typer.Option(help="Of all orders, 0.2 is a fifth.")] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds.")] = None,
) -> None:
    """Let inventory's first answer to a fifth of all orders come 5 s late."""
    from deploy.cli.gremlin import switch_on

    switch_on(seed=seed, share=share, delay_s=delay)


@gremlin.command("off")
def gremlin_off() -> None:
    """Take every fault rule away."""
    from deploy.cli.gremlin import switch_off

    switch_off()


@gremlin.command("status")
def gremlin_status() -> None:
    """Which fault rules are in force."""
    from deploy.cli.gremlin import show_rules

    show_rules()


@gremlin.command("predict")
def gremlin_predict(
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many orders ahead.")] = 20,
    customer: Annotated[str, typer.Option(help="Who orders.")] = "alice",
) -> None:
    """Which of the coming `valerix order` calls will be hit."""
    from deploy.cli.gremlin import show_prediction

    show_prediction(count, customer)


@app.command()
def bench(
    only: Annotated[
        str | None, typer.Option(help="Some of the sections, with commas; all unless told.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A third of the time, less exact.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Where to keep it; reports/bench.json.")] = None,
) -> None:
    """Measure: one table, and JSON for programs. Exit code 1 if a bar was missed."""
    from bench.measure import SECTIONS, run
    from deploy.local.settings import PROJECT

    wanted = {name.strip() for name in only.split(",") if name.strip()} if only else set(SECTIONS)
    if unknown := wanted - set(SECTIONS):
        raise typer.BadParameter(
            f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}"
        )
    raise typer.Exit(run(wanted, quick=quick, json=json or PROJECT / "reports" / "bench.json"))


@app.command()
def migrate(
    seed: Annotated[
        bool, typer.Option("--seed", help="Put the demonstration shop in, too.")
    ] = False,
) -> None:
    """Bring ORDERS_DATABASE_URL and INVENTORY_DATABASE_URL to this release's schema."""
    from deploy.migrate import run

    run(seed=seed)


@app.command()
def env() -> None:
    """Write `.env` for docker compose, with secrets of its own; never over an existing one."""
    from deploy.compose_env import main as write

    write()


def main(*command: str) -> None:
    """Run the console script, or one of its commands under another name.

    Errors that are meant for people are printed, not raised.
    """
    arguments = [*command, *sys.argv[1:]]
    if not sys.flags.isolated and any(name.startswith("PYTHON") for name in os.environ):
        # modules and switches for other programs; only a new interpreter is without them
        again = (sys.executable, "-I", "-m", "deploy.cli", *arguments)
        os.execv(sys.executable, again)  # noqa: S606 - ourselves
    drop_foreign_variables()
    try:
        app(arguments, prog_name="valerix")
    except StartRefused as refusal:
        from deploy.terminal import print_refusal

        print_refusal(refusal)
        sys.exit(1)
    except BrokenPipeError:
        # `valerix status | head`: nobody reads on, which is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
