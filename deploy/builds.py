"""Builds of the worker: which there are, which takes new orders, and which nobody needs any more.

    TEMPORAL_ADDRESS=… python -m deploy.builds list
    TEMPORAL_ADDRESS=… python -m deploy.builds promote BUILD [--percent 10]
    TEMPORAL_ADDRESS=… python -m deploy.builds drain BUILD

A build is a worker's WORKER_BUILD_ID. Until one was promoted, no worker with a build gets an order;
from then on new orders begin on it, and end there, whatever is promoted later. `drain` returns once
no order is on a build that was current before: then its workers may go. Exit code 1 says what was
not done and what to do.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from service_kit.process.settings import load
from service_kit.temporal import connect

POLLED_WITHIN_S = 60.0
DRAINED_WITHIN_S = 3600.0
_LOOK_INTERVAL_S = 1.0
# A worker that has only just come may not be known with all its task queues yet.
_NOT_YET = (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION)
_DRAINED = ("drained", "inactive")


class BuildsError(Exception):
    """Nothing was changed; the message says why and what to do."""


class BuildsSettings(BaseSettings):
    """The name that workers share, as in their own settings."""

    model_config = SettingsConfigDict(env_prefix="WORKER_")

    deployment: str = "valerix-orders"


@dataclass(frozen=True, slots=True)
class Build:
    """One build and how Temporal sees it: current, ramping, draining, drained or inactive."""

    build_id: str
    status: str
    percent: float


class Builds:
    """The builds of one deployment."""

    def __init__(self, client: Client, deployment: str) -> None:
        self._client = client
        self._deployment = deployment

    async def all(self) -> list[Build]:
        """Return all that Temporal knows, the newest first; none before a worker has polled."""
        try:
            info = await self._describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return []
            raise
        ramping = info.routing_config.ramping_deployment_version.build_id
        share = info.routing_config.ramping_version_percentage
        return [
            Build(
                summary.deployment_version.build_id,
                _word(summary.status),
                share if summary.deployment_version.build_id == ramping else 0.0,
            )
            for summary in info.version_summaries
        ]

    async def promote(self, build_id: str, percent: float, *, within_s: float) -> None:
        """Have new orders begin on a build, all or so many of a hundred; orders under way stay."""
        until = time.monotonic() + within_s
        while True:
            try:
                await self._route(build_id, percent)
            except RPCError as error:
                if error.status not in _NOT_YET:
                    raise
                if time.monotonic() >= until:
                    raise BuildsError(
                        f"no worker with WORKER_BUILD_ID={build_id} polls ({error.message});"
                        " new orders go where they went before; start one and do it again"
                    ) from error
            else:
                return
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def drained(self, build_id: str, *, within_s: float, say: Callable[[str], None]) -> None:
        """Return once no order is on a build; it must not be one that gets new ones."""
        until, said = time.monotonic() + within_s, ""
        while True:
            found = {build.build_id: build.status for build in await self.all()}
            status = found.get(build_id)
            if status is None:
                known = ", ".join(found) or "none"
                raise BuildsError(f"Temporal knows no build {build_id}; it knows: {known}")
            if status in _DRAINED:
                return
            if status in ("current", "ramping"):
                raise BuildsError(f"build {build_id} gets new orders: promote another one first")
            if time.monotonic() >= until:
                raise BuildsError(
                    f"there are still orders on build {build_id} after {within_s:.0f} s;"
                    " its workers have to stay; look at them in the Temporal Web UI, and wait again"
                )
            if status != said:
                say(f"build {build_id} is {status}: orders are still on it")
                said = status
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def _route(self, build_id: str, percent: float) -> None:
        service, namespace = self._client.workflow_service, self._client.namespace
        if percent >= 100:
            await service.set_worker_deployment_current_version(
                SetWorkerDeploymentCurrentVersionRequest(
                    namespace=namespace, deployment_name=self._deployment, build_id=build_id
                )
            )
        else:
            await service.set_worker_deployment_ramping_version(
                SetWorkerDeploymentRampingVersionRequest(
                    namespace=namespace,
                    deployment_name=self._deployment,
                    build_id=build_id,
                    percentage=percent,
                )
            )

    async def _describe(self) -> WorkerDeploymentInfo:
        answer = await self._client.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(
                namespace=self._client.namespace, deployment_name=self._deployment
            )
        )
        return answer.worker_deployment_info


def _word(status: WorkerDeploymentVersionStatus.ValueType) -> str:
    name = WorkerDeploymentVersionStatus.Name(status)
    return name.removeprefix("WORKER_DEPLOYMENT_VERSION_STATUS_").lower()


async def run(arguments: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    deployment = load(BuildsSettings).deployment
    builds = Builds(await connect(), deployment)
    if arguments.command == "promote":
        await builds.promote(arguments.build, arguments.percent, within_s=POLLED_WITHIN_S)
        share = "all" if arguments.percent >= 100 else f"{arguments.percent:g} % of"
        print(f"Build {arguments.build} gets {share} new orders; those under way stay on theirs.")
    elif arguments.command == "drain":
        await builds.drained(arguments.build, within_s=arguments.within, say=print)
        print(f"No order is on build {arguments.build}: its workers may go.")
    else:
        found = await builds.all()
        for build in found:
            share = f" {build.percent:g} %" if build.percent else ""
            print(f"{build.build_id:<40} {build.status}{share}")
        if not found:
            print(f"No worker with a build has polled for {deployment} yet.")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show all builds")
    promote = commands.add_parser("promote", help="have new orders begin on a build")
    promote.add_argument("build")
    promote.add_argument("--percent", type=_percent, default=100.0, help="of new orders")
    drain = commands.add_parser("drain", help="wait until no order is on a build")
    drain.add_argument("build")
    drain.add_argument("--within", type=float, default=DRAINED_WITHIN_S, help="seconds")
    try:
        asyncio.run(run(parser.parse_args()))
    except (BuildsError, RPCError, RuntimeError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError("more than 0, at most 100")
    return value


if __name__ == "__main__":
    main()
