"""Commands `valerix gremlin …`: fault rules of the running stack on and off, and predicted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import get_args

import aiohttp

from chaos.injection.admin_client import FAULTS, FaultAdmin, ToldRule, over
from chaos.injection.rules import GREMLIN, FaultRule, Operation, predict
from deploy.cli.order import coming_keys
from deploy.local.errors import StartRefused
from deploy.local.running_stack import RunningStack, issue_token, require_running_stack
from deploy.local.services import INVENTORY, ORDER
from deploy.terminal import out, print_unwrapped
from order_api.contracts import order_id_for
from workflows.contracts import workflow_id

OWNERS = (INVENTORY, ORDER)
TIMEOUT_S = 5.0


def switch_on(*, seed: int | None, share: float | None, delay_s: float | None) -> None:
    """Put the default gremlin in force, or one with another seed, share or delay."""
    wished = {"seed": seed, "share": share, "delay_s": delay_s}
    changes = {name: value for name, value in wished.items() if value is not None}
    try:
        rule = FaultRule.model_validate({**GREMLIN.model_dump(), **changes})
    except ValueError as error:
        raise StartRefused(
            problem=f"there is no such gremlin: {error}",
            kept="the rules are as they were",
            remedy="see: valerix gremlin on --help",
        ) from error
    asyncio.run(_put(require_running_stack(), rule))
    print_unwrapped(f"On: {_in_words(rule)}.")
    out.print("Which of your next orders that is: valerix gremlin predict", style="dim")


def switch_off() -> None:
    """Take the rules away that are in force, in both services."""
    gone = asyncio.run(_remove_all(require_running_stack()))
    out.print(f"Off: {gone} rule{'' if gone == 1 else 's'} taken away.")


def show_rules() -> None:
    """Print what is in force, and in which service."""
    rules = asyncio.run(_rules(require_running_stack()))
    lines = [f"{owner}  {each.name}: {_told_in_words(each)}" for owner, each in rules]
    for line in lines or ["No fault rule is in force."]:
        print_unwrapped(line)


def show_prediction(count: int, customer: str) -> None:
    """Print which of the coming orders meet which rule, by the function that services decide by."""
    stack = require_running_stack()
    rules = [each.known for _, each in asyncio.run(_rules(stack))]
    known = [rule for rule in rules if rule is not None]
    keys = {order_id_for(customer, key): key for key in coming_keys(stack.state_dir, count)}
    hits = predict(known, keys, get_args(Operation))
    if not hits:
        none = "no rule is in force" if not rules else "no rule picks any of them"
        out.print(f"None of the next {count} orders of {customer} will be hit: {none}.")
        return
    for order_id, operation, attempt, rule in hits:
        what = f"attempt {attempt} to {operation}: {_fault(rule)}"
        print_unwrapped(f"{keys[order_id]:<8} {workflow_id(order_id)}  {what}")
    orders = len({order_id for order_id, *_ in hits})
    out.print(f"{orders} of the next {count} orders of {customer} will be hit.", style="bold")


def _told_in_words(rule: ToldRule) -> str:
    return "of another release" if rule.known is None else _in_words(rule.known)


def _in_words(rule: FaultRule) -> str:
    calls = "/".join(rule.operations) or "any call"
    attempts = ", ".join(map(str, rule.attempts))
    return f"{_fault(rule)}, {rule.share:.0%} of orders, {calls}, attempt {attempts}"


def _fault(rule: FaultRule) -> str:
    what = f"{rule.delay_s:g} s late" if rule.fault == "delay" else rule.fault
    return f"{what} at {rule.point}"


async def _put(stack: RunningStack, rule: FaultRule) -> None:
    async with _admin(stack, INVENTORY) as admin:
        await admin.put(rule)


async def _remove_all(stack: RunningStack) -> int:
    gone = 0
    for owner in OWNERS:
        async with _admin(stack, owner) as admin:
            for rule in await admin.rules():
                await admin.remove(rule.name)
                gone += 1
    return gone


async def _rules(stack: RunningStack) -> Sequence[tuple[str, ToldRule]]:
    found: list[tuple[str, ToldRule]] = []
    for owner in OWNERS:
        async with _admin(stack, owner) as admin:
            found += [(owner, rule) for rule in await admin.rules()]
    return found


@asynccontextmanager
async def _admin(stack: RunningStack, owner: str) -> AsyncIterator[FaultAdmin]:
    """Give the fault controls of a service; whatever goes wrong is said in words."""
    url = stack.url(owner)
    headers = {"Authorization": f"Bearer {issue_token('valerix-cli', 'staff', 300)}"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            yield FaultAdmin(over(session, url))
    except aiohttp.ClientResponseError as error:
        problem = f"{url} answered {error.status}: {error.message}"
        if error.status == 404 and error.request_info.url.path == FAULTS:
            problem = "fault injection is off in this stack (FAULT_INJECTION=false)"
    except (aiohttp.ClientError, TimeoutError) as error:
        problem = f"{url} gave no answer: {str(error) or type(error).__name__}"
    else:
        return
    raise StartRefused(
        problem=problem,
        kept="the rules are as they were",
        remedy="see what runs with: valerix status",
    )
