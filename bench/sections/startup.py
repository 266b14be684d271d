"""Section `startup`: from `valerix up` to the first shipped order, by the clock."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import fields

from bench.harness.results import Row, at_most
from bench.harness.stack import Plan, temporary_home
from deploy.local.ports import LOOPBACK
from deploy.local.settings import PROJECT, Ports, variable
from deploy.local.state_dir import StateDir
from service_kit.http.tokens import issue

BAR_S = 20.0
TIMEOUT_S = 120.0
_POLL_INTERVAL_S = 0.02


async def _first_shipped(state_dir: StateDir, ports: Ports, key: str) -> float:
    """Start the stack as the command line does; return when an order has shipped."""
    numbers = {variable(each.name): str(getattr(ports, each.name)) for each in fields(ports)}
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.cli", "up", "--quiet"),
        cwd=PROJECT,
        env={**os.environ, **numbers, "VALERIX_HOME": str(state_dir.folder)},
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not await _ships(state_dir, ports, key):
                if process.returncode is not None:
                    raise RuntimeError(f"`valerix up` ended with code {process.returncode}")
                await asyncio.sleep(_POLL_INTERVAL_S)
        return time.perf_counter() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _ships(state_dir: StateDir, ports: Ports, key: str) -> bool:
    """Place an order under `key`, or again, and tell whether it has shipped."""
    try:
        token = issue((state_dir.secrets / "token_key").read_text().strip(), "first", "shopper")
        reader, writer = await asyncio.open_connection(LOOPBACK, ports.order)
    except (OSError, ValueError):
        return False
    body = json.dumps({"lines": [{"sku": "MUG-BLUE", "quantity": 1}]})
    head = (
        f"POST /v1/orders HTTP/1.0\r\nAuthorization: Bearer {token}\r\n"
        f"Idempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        writer.write(f"{head}{body}".encode())
        return b'"status":"shipped"' in await reader.read()
    except OSError:
        return False
    finally:
        writer.close()


async def startup(plan: Plan) -> list[Row]:
    """Time the first start ever, which creates the databases, and the second, which finds them."""
    with temporary_home() as folder:
        state_dir = StateDir(folder)
        plan.say("first start")
        first = await _first_shipped(state_dir, Ports.free(), "first-start")
        plan.say("second start")
        second = await _first_shipped(state_dir, Ports.free(), "second-start")
    what = "up to first shipped order"
    return plan.report(
        [
            Row("startup", f"{what}, nothing there", first, "s", **at_most(BAR_S, "s", first)),
            Row("startup", f"{what}, data there", second, "s", **at_most(BAR_S, "s", second)),
        ]
    )
