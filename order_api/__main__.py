"""Start order_api: the one place that knows both the service and the fault injector."""

from order_api.main import create_app
from order_api.settings import OrderSettings
from service_kit import logs, server
from service_kit.settings import load


def main() -> None:
    """Serve until told to stop."""
    settings = load(OrderSettings)
    logs.configure("order_api", settings.log_level, settings.log_format)
    if settings.fault_injection:
        # not even imported in production
        from chaos.admin import router
        from chaos.injector import injecting

        app = create_app(settings, injecting("orders"))
        app.include_router(router)
    else:
        app = create_app(settings)
    server.run(app, settings.host, settings.port)


if __name__ == "__main__":
    main()
