"""Entry point of the worker; the only place of it that knows the fault injector."""

import logging

from service_kit.http import server
from service_kit.observability import logs, tracing
from service_kit.process.settings import load
from service_kit.temporal import expose_sdk_metrics
from worker.main import create_app
from worker.settings import WorkerSettings


def main() -> None:
    """Serve until told to stop."""
    settings = load(WorkerSettings)
    logs.configure("worker", settings.log_level, settings.log_format)
    # A warning with a traceback for each failed attempt: an outage would fill the disk with what
    # the order's history says anyway.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    tracing.configure("worker")
    expose_sdk_metrics()
    if settings.fault_injection:
        from chaos.injection import worker_service  # not even imported in production

        app = worker_service.create_app(settings)
    else:
        app = create_app(settings)
    server.run(app, settings.host, settings.port)


if __name__ == "__main__":
    main()
