"""Partitions: a network namespace whose one bridge to us can be made one-way, or drowned.

What passes between here and there crosses a real network device, so a partition is the kernel's:
packets vanish, nobody is told, senders repeat them for as long as they like. Needs root and `ip`.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

from chaos.nemesis.environment import Environment
from chaos.nemesis.tcp_proxy import TcpProxy

Direction = Literal["to", "from", "both"]

_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")
_PREFIX = "vxproof"
# Addresses set aside for tests of networks (RFC 2544): no real network is hidden by ours.
_NETWORK = "198.18"
# Locally administered; packets for the third are nobody's, which is how they get lost.
_HERE, _THERE, _NOBODY = "02:56:58:00:00:01", "02:56:58:00:00:02", "02:56:58:00:00:99"


@functools.cache
def why_not() -> str | None:
    """Return why there can be no namespace on this machine, None if there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the program ip"
    name = f"{_PREFIX}-{os.getpid()}"
    # Root in a container is often not allowed to: only trying tells.
    for words in (("add", name), ("delete", name)):
        tried = subprocess.run(("ip", "netns", *words), capture_output=True, check=False)
        if tried.returncode:
            return "network namespaces are not allowed here"
    return None


class NetworkNamespace(Environment):
    """Makes a network namespace; gone with everything in it afterwards."""

    def __init__(self) -> None:
        super().__init__()
        pid = os.getpid()
        self._name = f"{_PREFIX}-{pid}"
        self._device, self._device_there = f"vx{pid}h", f"vx{pid}t"
        block = pid % 16_000
        net = f"{_NETWORK}.{block // 64}.{block % 64 * 4}"
        base, _, last = net.rpartition(".")
        self._here, self._there = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"

    async def _start(self) -> None:
        for left in await asyncio.to_thread(_left_behind):
            await _ip_quietly("netns", "delete", left)
        self._exits.push_async_callback(_ip_quietly, "netns", "delete", self._name)
        await _ip("netns", "add", self._name)
        name, here, there = self._name, self._device, self._device_there
        await _ip(
            *("link", "add", here, "address", _HERE, "type", "veth"),
            *("peer", "name", there, "address", _THERE, "netns", name),
        )
        # The kernel clears a namespace away some time after its end; nobody shall meet its device.
        self._exits.push_async_callback(_ip_quietly, "link", "delete", here)
        await _ip("address", "add", f"{self._here}/30", "dev", here)
        await _ip("-n", name, "address", "add", f"{self._there}/30", "dev", there)
        await _ip("link", "set", here, "up")
        await _ip("-n", name, "link", "set", there, "up")
        await self._let_through()

    async def reach(self, port: int) -> int:
        """Return a port from which `port`, both on loopback, is reached across the namespace."""
        landing = await asyncio.to_thread(_listen_in, self._name, self._there)
        await self._exits.enter_async_context(TcpProxy(port, landing=landing))
        far = landing.getsockname()[1]
        proxy = await self._exits.enter_async_context(TcpProxy(far, host=self._there))
        return proxy.port

    async def partition(self, direction: Direction, seconds: float) -> None:
        """Lose all packets that go to the namespace, come from it, or both, for a while."""
        try:
            if direction in ("to", "both"):
                await self._send_to(_NOBODY)
            if direction in ("from", "both"):
                await self._send_from(_NOBODY)
            await asyncio.sleep(seconds)
        finally:
            await self._let_through()

    async def _let_through(self) -> None:
        await self._send_to(_THERE)
        await self._send_from(_HERE)

    async def _send_to(self, address: str) -> None:
        where = ("lladdr", address, "dev", self._device, "nud", "permanent")
        await _ip("neighbour", "replace", self._there, *where)

    async def _send_from(self, address: str) -> None:
        where = ("lladdr", address, "dev", self._device_there, "nud", "permanent")
        await _ip("-n", self._name, "neighbour", "replace", self._here, *where)


def _listen_in(namespace: str, address: str) -> socket.socket:
    """Return a listening socket that belongs to the namespace, whoever then serves it."""
    found: list[socket.socket | OSError] = []

    def enter() -> None:
        # In a thread of its own: it stays in the namespace until its end.
        library = ctypes.CDLL(None, use_errno=True)
        try:
            with (_NAMESPACES / namespace).open() as file:
                if library.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), namespace)
            found.append(socket.create_server((address, 0)))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=enter, name="namespace")
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _left_behind() -> list[str]:
    """Return the namespaces of runs that were killed."""
    return [
        each.name
        for each in _NAMESPACES.glob(f"{_PREFIX}-*")
        if not Path("/proc", each.name.rpartition("-")[2]).exists()
    ]


async def _ip_quietly(*words: str) -> None:
    with contextlib.suppress(OSError):
        await _ip(*words)


async def _ip(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "ip", *words, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    if process.returncode:
        raise OSError(f"ip {' '.join(words)}: {complaint.decode(errors='replace').strip()}")
