"""Command `valerix order`: place an order and follow it, event by event, to its end."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx

from activities.contracts import TERMINAL
from deploy.cli.unanswered_orders import UnansweredOrder
from deploy.cli.up import workflow_page
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.running_stack import RunningStack, issue_token, require_running_stack
from deploy.local.state_dir import StateDir
from deploy.terminal import coloured, err, out, print_unwrapped
from order_api.client_rules import is_definite, members_of, stored_nothing
from order_api.contracts import order_id_for
from workflows.contracts import workflow_id

# Longer than an order may take to settle after the last fault has healed.
_FOLLOW_TIMEOUT_S = 120.0
_POLL_INTERVAL_S = 1.0


def place_and_follow(items: list[str], key: str | None, customer: str) -> int:
    """Return 0 when the order is shipped in the end, 1 otherwise."""
    lines = [read_line(item) for item in items]
    stack = require_running_stack()
    token = issue_token(customer, "shopper")
    with (
        UnansweredOrder(stack.state_dir, customer, lines) as unanswered,
        _client(stack, token) as client,
    ):
        in_doubt = key is not None  # whoever names a key may have sent it before
        if key is None and (key := unanswered.key()) is not None:
            in_doubt = True
            err.print(f"  asking again: what became of order {key} is not known", markup=False)
        key = key or next_key(stack.state_dir)
        unanswered.remember(key)
        answer, trouble = _sent(client, key, lines)
        body = {} if answer is None else members_of(answer.content)
        if answer is None or not (
            is_definite(answer.status_code, body, order_id_for(customer, key))
            or (not in_doubt and stored_nothing(answer.status_code, body))
        ):
            raise StartRefused(
                problem=f"no answer about the order: {trouble or _in_words(answer, body)}",
                kept="the order may have been taken: the key makes it safe to ask again",
                remedy=f"valerix order {' '.join(items)} --key {key} --customer {customer}",
            )
        unanswered.forget()
        return _report(stack, client, answer, body, key)


def _sent(
    client: httpx.Client, key: str, lines: list[dict[str, Any]]
) -> tuple[httpx.Response | None, str]:
    """Return the answer to the order, or why there is none."""
    try:
        headers = {"Idempotency-Key": key}
        return client.post("/v1/orders", headers=headers, json={"lines": lines}), ""
    except httpx.HTTPError as error:
        return None, str(error)


def _client(stack: RunningStack, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=stack.url("order_api"),
        headers={"Authorization": f"Bearer {token}"},
        timeout=httpx.Timeout(10.0, read=_FOLLOW_TIMEOUT_S),
        trust_env=False,  # a proxy of the terminal would be asked for loopback
    )


def read_line(item: str) -> dict[str, Any]:
    """Return the order line that `MUG=2` or `MUG` means."""
    sku, equals, quantity = item.partition("=")
    if not sku or (equals and not re.fullmatch(r"[0-9]{1,9}", quantity)):
        raise StartRefused(
            problem=f"{item!r} is not SKU=QTY",
            kept="nothing was ordered",
            remedy="for example: valerix order MUG=2",
        )
    return {"sku": sku, "quantity": int(quantity or "1")}


def next_key(state_dir: StateDir) -> str:
    """Return `cli-1`, `cli-2`, …: one after the other, so that they can be predicted."""
    with (state_dir.folder / "cli-orders").open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        number = _last(state_dir) + 1
        counter.truncate(0)
        counter.write(str(number))
        counter.flush()
        os.fsync(counter.fileno())
    return f"cli-{number}"


def coming_keys(state_dir: StateDir, count: int) -> list[str]:
    """Return the keys that the next orders of this command line will have."""
    last = _last(state_dir)
    return [f"cli-{number}" for number in range(last + 1, last + count + 1)]


def _last(state_dir: StateDir) -> int:
    try:
        return int((state_dir.folder / "cli-orders").read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _in_words(answer: httpx.Response | None, body: dict[str, Any]) -> str:
    if answer is None:
        return "the connection was lost"
    said = (str(answer.status_code), body.get("title"), body.get("detail"))
    return " ".join(str(each) for each in said if each)


def _report(
    stack: RunningStack,
    client: httpx.Client,
    answer: httpx.Response,
    body: dict[str, Any],
    key: str,
) -> int:
    took = answer.elapsed.total_seconds()
    out.print(f"{answer.status_code} after {took:.3f} s, key {key}", style="bold")
    order_id = body.get("order_id")
    if answer.is_error:
        for line in (body.get("title"), body.get("detail"), body.get("advice")):
            if line:
                err.print(f"  {line}", markup=False)
    elif body.get("message"):
        out.print(f"  {body['message']}", markup=False)
    if order_id is None or answer.status_code in (422, 429):  # there is no such order
        return 1
    web_ui = f"http://{LOOPBACK}:{stack.state['temporal_ui_port']}"
    print_unwrapped(workflow_page(web_ui, workflow_id(order_id)))
    status = follow(client, order_id)
    known = status in TERMINAL
    out.print(f"order {order_id} is ", coloured(status) if known else status, sep="")
    return 0 if status == "shipped" else 1


def follow(client: httpx.Client, order_id: str) -> str:
    """Print the timeline as it grows; return the status that the order ends with.

    That it has ended, the service says, if in a way that this release has no word for.
    """
    path = f"/v1/orders/{order_id}"
    seen = 0
    over = False
    while True:
        try:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
            with client.stream("GET", f"{path}/events", headers=headers) as stream:
                too_many = stream.status_code == httpx.codes.TOO_MANY_REQUESTS
                if too_many:  # views are open; this one only looks how the order stands
                    time.sleep(_POLL_INTERVAL_S)
                else:
                    stream.raise_for_status()
                over = stream.status_code == httpx.codes.NO_CONTENT
                for event in () if too_many else read_events(stream):
                    if event["seq"] > seen:
                        seen = event["seq"]
                        _show(event)
        except httpx.TransportError as error:
            # The stream is only a view: the order goes on without us, so look again.
            err.print(f"  (the live view was cut: {error})", style="dim", markup=False)
        status = str(client.get(path).raise_for_status().json()["status"])
        if over or status in TERMINAL:
            return status


def read_events(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield the `data:` of each server-sent event; comments and heartbeats have none."""
    data: list[str] = []
    for line in stream.iter_lines():
        if line.startswith("data:"):
            data.append(line[5:].lstrip())
        elif not line and data:
            event = json.loads("\n".join(data))
            data.clear()
            if isinstance(event, dict) and "seq" in event:
                yield event


def _show(event: dict[str, Any]) -> None:
    found = event.get("detail")
    detail = dict(found) if isinstance(found, dict) else {}
    message = detail.pop("message", "")
    rest = ", ".join(f"{name}: {value}" for name, value in detail.items())
    told = f"{message} ({rest})" if message and rest else message or rest
    out.print(f"  {event['at']}  {event['type']:<14} {told}", markup=False, soft_wrap=True)
