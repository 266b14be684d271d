"""Check of the ports that must not answer from outside."""

import asyncio
import socket

from deploy.cloud_check.outcome import CheckOutcome, failed, passed, skipped
from deploy.cloud_check.site import Site

CHECK = "ports"
# Whoever is there answers within one round trip; a firewall says nothing, however long one waits.
WITHIN_S = 3.0


def check(site: Site) -> CheckOutcome:
    """Return which of the site's closed ports answer, at any address of its name."""
    wanted = {port: what for port, what in site.closed_ports.items() if port != site.port}
    try:
        addresses = addresses_of(site.url.host)
    except OSError as error:
        return skipped(
            CHECK, f"the name leads nowhere: {error}", "enter the address of the machine"
        )
    answering = asyncio.run(_answering(addresses, list(wanted)))
    if not answering:
        return passed(CHECK, f"none of {len(wanted)} answers at {', '.join(addresses)}")
    told = ", ".join(f"{port} ({wanted[port]})" for port in answering)
    return failed(
        CHECK,
        f"open to everybody: {told}",
        "publish it on 127.0.0.1 only, and see that the firewall is up: valerix-check there",
    )


def addresses_of(host: str) -> list[str]:
    """Return all addresses that the name has; OSError if there are none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


async def _answering(addresses: list[str], ports: list[int]) -> list[int]:
    """Return the ports at which somebody answers."""
    tries = [(port, _answers(address, port)) for port in ports for address in addresses]
    answers = await asyncio.gather(*(each for _, each in tries))
    return sorted({port for (port, _), yes in zip(tries, answers, strict=True) if yes})


async def _answers(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(WITHIN_S):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:  # refused, unreachable, or out of time
        return False
    writer.close()
    return True
