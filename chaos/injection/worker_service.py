"""The worker with fault points around its activities."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.contracts import StatusUpdate, StepCall
from chaos.injection.crash_route import crash_router
from chaos.injection.injector import Injector
from chaos.injection.rules import Call
from service_kit.http.tokens import verifier_for
from service_kit.postgres.pool import Pool
from worker import main
from worker.settings import WorkerSettings


class PartsWithFaults(main.Parts):
    """The parts of the worker, with an injector around its activities."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    @asynccontextmanager
    async def pool(self, settings: WorkerSettings) -> AsyncIterator[Pool]:
        """Give the connections, and let the injector use them, too."""
        async with super().pool(settings) as connections, self._injector.using(connections):
            yield connections

    def interceptors(self) -> Sequence[Interceptor]:
        """Return what brings the faults to the activities."""
        return [FaultInterceptor(self._injector)]


class FaultInterceptor(Interceptor):
    """Puts fault points before and after every activity."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002  # the SDK's name
    ) -> ActivityInboundInterceptor:
        """Return `next` with faults around it."""
        return _ActivityWithFaults(next, self._injector)


class _ActivityWithFaults(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, injector: Injector) -> None:
        super().__init__(inner)
        self._injector = injector

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        [asked] = input.args
        assert isinstance(asked, StepCall | StatusUpdate)
        attempt = asked.attempt(info.attempt)
        call = Call(asked.order_id, info.activity_type, attempt)
        before, after = points_of(call.operation)
        await self._injector.reach(before, call)
        result = await super().execute_activity(input)
        # Not after a failure: the warehouse has not answered then, or not in a way to believe.
        await self._injector.reach(after, call)
        return result


def points_of(activity_type: str) -> tuple[str, str]:
    """Return the fault points before and after an activity."""
    if activity_type == "record":
        return "worker.before_record", "worker.after_record"
    return "worker.before_request", "worker.after_answer"


def create_app(settings: WorkerSettings) -> FastAPI:
    """Return the worker with faults; their rules are switched at order_api."""
    app = main.create_app(settings, PartsWithFaults(Injector("orders")))
    app.include_router(crash_router(verifier_for(settings)))
    return app
