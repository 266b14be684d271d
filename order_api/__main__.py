"""Entry point of order_api; the only place of it that knows the fault injector."""

from order_api.main import create_app
from order_api.settings import OrderSettings
from service_kit.http import server
from service_kit.observability import logs, tracing
from service_kit.process.settings import load
from service_kit.temporal import expose_sdk_metrics


def main() -> None:
    """Serve until told to stop."""
    settings = load(OrderSettings)
    logs.configure("order_api", settings.log_level, settings.log_format)
    tracing.configure("order_api")
    expose_sdk_metrics()
    if settings.fault_injection:
        from chaos.injection import order_service  # not even imported in production

        app = order_service.create_app(settings)
    else:
        app = create_app(settings)
    server.run(app, settings.host, settings.port)


if __name__ == "__main__":
    main()
