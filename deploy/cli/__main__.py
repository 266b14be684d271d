"""Command line `valerix`.

Each command imports what it needs when it runs: `up` stays in memory next to the services, and a
`token` in a shell's command substitution should come at once.
"""

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

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


@app.command()
def reconcile(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    orders_may_be_empty: Annotated[
        bool,
        typer.Option("--orders-may-be-empty", help="Give back all holds if there are no orders."),
    ] = False,
    decided: Annotated[
        UUID | None, typer.Option(help="Take this order off the list for people; needs --note.")
    ] = None,
    note: Annotated[str, typer.Option(help="What was decided about it.")] = "",
) -> None:
    """Have orders and inventory agree again after a restore. Exit code 1 if something is left."""
    from deploy.cli.reconcile import decide, run

    if decided is not None:
        if not note:
            raise typer.BadParameter("say with --note what was decided")
        raise typer.Exit(decide(decided, note))
    raise typer.Exit(run(dry_run=dry_run, as_json=as_json, orders_may_be_empty=orders_may_be_empty))


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
    """Write `.env` for docker compose, with secrets of its own; add to an older one what is new."""
    from deploy.compose_env import main as write

    write()


cloud = typer.Typer(help="The shop on a machine at some provider.", no_args_is_help=True)
app.add_typer(cloud, name="cloud")


@cloud.command("check")
def check_site(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://shop.example.com")],
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Has a shopper's token; - is standard input. Or set VALERIX_TOKEN.",
        ),
    ] = None,
    sku: Annotated[
        str | None, typer.Option(help="What to order. Default: the first there is.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="An authority to trust, too (PEM).")
    ] = None,
) -> None:
    """Look at a deployment from outside; with a token, order a piece. Exit code 1 if one fails."""
    from deploy.cli.cloud_check import run

    raise typer.Exit(run(url, token_file=token_file, sku=sku, ca_file=ca_file))


backup = typer.Typer(
    help="What is kept of the shop, and where: seal, list, prove.", no_args_is_help=True
)
app.add_typer(backup, name="backup")


@backup.command()
def now() -> None:
    """Archive, seal, prove and copy everything up to now. Exit code 1 if a copy is late."""
    from deploy.cli.backup import back_up_now

    raise typer.Exit(back_up_now())


@backup.command("list")
def list_() -> None:
    """Show all capsules, where their copies are, and the legacy calls of the last 30 days."""
    from deploy.cli.backup import list_backups

    raise typer.Exit(list_backups())


@backup.command()
def prove(
    capsule: Annotated[
        str | None,
        typer.Argument(help="A file, a date, or how its hash begins. Default: the newest one."),
    ] = None,
) -> None:
    """Restore a capsule for a look, and compare. Exit code 1 if not everything is back."""
    from deploy.cli.prove import prove as prove_capsule

    raise typer.Exit(prove_capsule(capsule))


@backup.command()
def drill() -> None:
    """Restore the newest copy in each store to some second of its days, and time it."""
    from deploy.cli.prove import drill as run_drill

    raise typer.Exit(run_drill())


@app.command()
def restore(
    source: Annotated[
        str,
        typer.Option("--from", help="archive, a store (copies, …), or a capsule's path."),
    ] = "archive",
    at: Annotated[
        str | None,
        typer.Option("--at", help="2026-11-26T05:12:33Z. Default: the latest there is."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="The new home. Default: VALERIX_HOME.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, change nothing.")
    ] = False,
) -> None:
    """Bring the shop back as it was at a second, into an empty folder."""
    from deploy.cli.restore import run

    raise typer.Exit(run(source=source, at=at, to=to, dry_run=dry_run))


for _commands in entry_points(group="valerix.commands"):  # of packages above this one
    _commands.load()(app)


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
