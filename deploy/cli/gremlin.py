"""Commands `valerix gremlin …`: fault rules on and off through the services' admin calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from chaos.injection.rules import GREMLIN, FaultRule, predict
from deploy.cli.order import coming_keys
from deploy.local.errors import StartRefused
from deploy.local.running_stack import RunningStack, issue_token, require_running_stack
from deploy.terminal import out, print_unwrapped
from order_api.contracts import order_id_for

_OWNERS = ("inventory_api", "order_api")
_FAULTS = "/v1/admin/faults"


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
    with _admin(require_running_stack(), "inventory_api") as client:
        _ask(client, "PUT", f"{_FAULTS}/{rule.name}", json=rule.model_dump(mode="json"))
    print_unwrapped(f"On: {_in_words(rule)}.")
    out.print("Which of your next orders that is: valerix gremlin predict", style="dim")


def switch_off() -> None:
    """Take the rules away that are in force, in both services."""
    stack = require_running_stack()
    gone = 0
    for owner in _OWNERS:
        with _admin(stack, owner) as client:
            for rule in _rules(client):
                _ask(client, "DELETE", f"{_FAULTS}/{rule.name}")
                gone += 1
    out.print(f"Off: {gone} rule{'' if gone == 1 else 's'} taken away.")


def show_rules() -> None:
    """Print what is in force, and in which service."""
    stack = require_running_stack()
    lines = []
    for owner in _OWNERS:
        with _admin(stack, owner) as client:
            lines += [f"{owner}  {rule.name}: {_in_words(rule)}" for rule in _rules(client)]
    for line in lines or ["No fault rule is in force."]:
        print_unwrapped(line)


def show_prediction(count: int, customer: str) -> None:
    """Print which coming orders meet which rule; the same function decides in the services."""
    stack = require_running_stack()
    rules: list[FaultRule] = []
    for owner in _OWNERS:
        with _admin(stack, owner) as client:
            rules += _rules(client)
    keys = {order_id_for(customer, key): key for key in coming_keys(stack.state_dir, count)}
    hits = predict(rules, keys, ("reserve", "commit", "release", "record", "accept"))
    if not hits:
        none = "no rule is in force" if not rules else "no rule picks any of them"
        out.print(f"None of the next {count} orders of {customer} will be hit: {none}.")
        return
    for order_id, operation, attempt, rule in hits:
        what = f"attempt {attempt} to {operation}: {_fault(rule)}"
        print_unwrapped(f"{keys[order_id]:<8} order-{order_id}  {what}")
    orders = len({order_id for order_id, *_ in hits})
    out.print(f"{orders} of the next {count} orders of {customer} will be hit.", style="bold")


def _in_words(rule: FaultRule) -> str:
    calls = "/".join(rule.operations) or "any call"
    attempts = ", ".join(map(str, rule.attempts))
    return f"{_fault(rule)}, {rule.share:.0%} of orders, {calls}, attempt {attempts}"


def _fault(rule: FaultRule) -> str:
    what = f"{rule.delay_s:g} s late" if rule.fault == "delay" else rule.fault
    return f"{what} at {rule.point}"


def _rules(client: httpx.Client) -> list[FaultRule]:
    found: dict[str, Any] = _ask(client, "GET", _FAULTS).json()
    return [FaultRule.model_validate(rule) for rule in found["items"]]


@contextmanager
def _admin(stack: RunningStack, owner: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {issue_token('valerix-cli', 'staff', 300)}"}
    # trust_env: a proxy of the terminal would be asked for loopback
    with httpx.Client(
        base_url=stack.url(owner), headers=headers, timeout=5.0, trust_env=False
    ) as client:
        yield client


def _ask(client: httpx.Client, method: str, path: str, **content: Any) -> httpx.Response:
    try:
        answer = client.request(method, path, **content)
    except httpx.HTTPError as error:
        problem = f"{client.base_url} gave no answer: {error}"
    else:
        if answer.is_success:
            return answer
        problem = f"{client.base_url} answered {answer.status_code}: {answer.text}"
        if answer.status_code == httpx.codes.NOT_FOUND and path == _FAULTS:
            problem = "fault injection is off in this stack (FAULT_INJECTION=false)"
    raise StartRefused(
        problem=problem,
        kept="the rules are as they were",
        remedy="see what runs with: valerix status",
    )
