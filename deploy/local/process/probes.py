"""Readiness probes over HTTP, with nothing but asyncio.

The supervisor stays small: an HTTP client library would cost it more memory than everything else.
"""

import asyncio
import contextlib

from deploy.local.ports import LOOPBACK


async def http_get(
    port: int, path: str, within_s: float = 1.0, authorization: str | None = None
) -> tuple[int, bytes] | None:
    """Return status and body, or None when there was no complete answer in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            head = [f"GET {path} HTTP/1.0", f"Host: {LOOPBACK}:{port}", "Connection: close"]
            if authorization is not None:
                head.append(f"Authorization: {authorization}")
            writer.write("\r\n".join([*head, "", ""]).encode())
            answer = await reader.read()
    except (OSError, TimeoutError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 0.2)
    status_line, _, rest = answer.partition(b"\r\n")
    parts = status_line.split()
    if len(parts) < 2 or not parts[1].isdigit():
        return None
    return int(parts[1]), rest.partition(b"\r\n\r\n")[2]


async def answers_ok(port: int, path: str = "/readyz") -> bool:
    """Tell whether `path` answers 200."""
    answer = await http_get(port, path)
    return answer is not None and answer[0] == 200
