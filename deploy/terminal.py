"""Terminal output: one console for answers, one for complaints."""

from rich.console import Console
from rich.text import Text

from deploy.local.errors import StartRefused

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_COLOURS = {"ready": "green", "pass": "green", "shipped": "green", "starting": "yellow"}
_COLOURS |= {"warn": "yellow", "received": "yellow", "reserved": "yellow", "restarting": "yellow"}


def coloured(word: str) -> Text:
    """Return a state in its colour; what is not known to be good is red."""
    return Text(word, style=_COLOURS.get(word, "red"))


def print_unwrapped(text: str) -> None:
    """Print a line that a person will copy: never wrapped, never taken for markup."""
    out.print(text, soft_wrap=True, markup=False)


def print_refusal(refusal: StartRefused) -> None:
    """Print what happened, what became of the data, what to do next."""
    err.print(Text(refusal.problem, style="bold red"), soft_wrap=True)
    err.print(Text(f"kept: {refusal.kept}"), soft_wrap=True)
    err.print(Text(f"next: {refusal.remedy}"), soft_wrap=True)
