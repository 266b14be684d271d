"""Command `valerix cloud check`: a deployment as it looks from outside."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import httpx
from rich.text import Text

from deploy.cloud_check.outcome import CheckOutcome
from deploy.cloud_check.run import check
from deploy.cloud_check.site import KNOWN_KEYS, Site, address
from deploy.local.errors import StartRefused
from deploy.local.running_stack import find_state_dir
from deploy.terminal import coloured, out

TOKEN_VARIABLE = "VALERIX_TOKEN"  # noqa: S105 - its name
_STDIN = "-"
_LONGEST = 500


def run(url: str, *, token_file: str | None, sku: str | None, ca_file: Path | None) -> int:
    """Return 0 if no check has failed, else 1; what could not be looked at is said."""
    site = Site(
        url=_address(url),
        token=_token(token_file),
        sku=sku,
        ca_file=_readable(ca_file),
        keys=_known_keys(),
    )
    outcomes = []
    for outcome in check(site):
        outcomes.append(outcome)
        _show(outcome)
    failures = sum(outcome.status == "fail" for outcome in outcomes)
    skips = sum(outcome.status == "skip" for outcome in outcomes)
    out.print(f"{len(outcomes)} checks: {failures} failed, {skips} skipped")
    return 1 if failures else 0


def _address(url: str) -> httpx.URL:
    try:
        return address(url)
    except ValueError as error:
        raise _refused(f"{url!r} cannot be checked: {error}", "https://shop.example.com") from None


def _token(file: str | None) -> str:
    """Return the token, which is never an argument: others see those, and shells keep them."""
    try:
        if file is None:
            token = os.environ.get(TOKEN_VARIABLE, "")
        else:
            token = sys.stdin.read() if file == _STDIN else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(f"the token could not be read: {error}", "--token-file FILE") from None
    token = token.strip()
    if not (token.isascii() and (token.isprintable() and " " not in token)):
        raise _refused("what was given as a token is none", "ssh … valerix-token > FILE")
    return token


def _readable(ca_file: Path | None) -> Path | None:
    if ca_file is not None and not ca_file.is_file():
        raise _refused(f"there is no file {ca_file}", "--ca FILE, in PEM form")
    return ca_file


def _known_keys() -> dict[str, str]:
    keys = dict(KNOWN_KEYS)
    with suppress(StartRefused):  # there is none
        keys["the key of the local stack here"] = find_state_dir().existing_token_key()
    return keys


def _show(outcome: CheckOutcome) -> None:
    line = Text.assemble(coloured(outcome.status), f"  {outcome.check:<12} ", _clean(outcome.seen))
    out.print(line, soft_wrap=True)
    if outcome.remedy:
        out.print(Text(f"      {'':<12} next: {outcome.remedy}", style="dim"), soft_wrap=True)


def _clean(text: str) -> str:
    """Return what a server has said without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST]


def _refused(problem: str, example: str) -> StartRefused:
    return StartRefused(problem=problem, kept="nothing was asked", remedy=f"for example: {example}")
