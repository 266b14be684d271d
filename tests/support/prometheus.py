"""A real Prometheus on loopback, with our configuration and rules, in front of a running stack."""

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process.child import ChildSpec
from deploy.local.process.probes import answers_ok
from deploy.local.process.supervisor import SupervisedProcess
from tests.support import promtool

Series = Mapping[str, Any]


def why_not() -> str | None:
    """Return why there is none on this machine, None if there is one."""
    if promtool.find() is not None and shutil.which("prometheus"):
        return None
    return "No Prometheus: not on PATH, and Debian's package prometheus could not be had."


class Prometheus:
    """What it answers."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def query(self, expression: str) -> list[Series]:
        """Return the series of an expression now."""
        found: list[Series] = (await self._get("query", query=expression))["result"]
        return found

    async def values(self, expression: str, start: float, end: float) -> dict[float, float]:
        """Return a single series by the second; where it has no value there is none."""
        span = {"start": str(int(start)), "end": str(int(end)), "step": "1"}
        result = (await self._get("query_range", query=expression, **span))["result"]
        return {at: float(value) for series in result for at, value in series["values"]}

    async def rules(self) -> list[dict[str, Any]]:
        """Return all rules with how they are."""
        groups = (await self._get("rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def targets(self) -> dict[str, str]:
        """Return how each service is, by name."""
        active = (await self._get("targets", state="active"))["activeTargets"]
        return {each["labels"]["service"]: each["health"] for each in active}

    async def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            said = await answer.json()
        assert said["status"] == "success", said
        found: dict[str, Any] = said["data"]
        return found


@asynccontextmanager
async def scraping(
    ports: Mapping[str, int], session: aiohttp.ClientSession, folder: Path
) -> AsyncIterator[Prometheus]:
    """Run Prometheus on these services, with our own files but for where the services are."""
    program = shutil.which("prometheus")
    assert program is not None, why_not()
    settings = folder / "settings"
    shutil.copytree(promtool.PROMETHEUS, settings)
    (settings / "targets.yml").write_text(  # YAML is a superset of JSON
        json.dumps(
            [
                {"targets": [f"{LOOPBACK}:{port}"], "labels": {"service": name}}
                for name, port in ports.items()
            ]
        )
    )
    port = free_port()

    async def ready() -> bool:
        return await answers_ok(port, "/-/ready")

    spec = ChildSpec(
        name="prometheus",
        argv=(
            program,
            f"--config.file={settings / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ),
        ready=ready,
        cwd=folder,
        env={"HOME": str(folder)},
    )
    process = SupervisedProcess(spec, folder)
    await process.start()
    try:
        await process.wait_ready()
        yield Prometheus(f"http://{LOOPBACK}:{port}", session)
    finally:
        await process.stop()
