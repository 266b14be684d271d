"""Entry point of inventory_api; the only place of it that knows the fault injector."""

from inventory_api.main import create_app
from inventory_api.settings import InventorySettings
from service_kit.http import server
from service_kit.observability import logs, tracing
from service_kit.process.settings import load


def main() -> None:
    """Serve until told to stop."""
    settings = load(InventorySettings)
    logs.configure("inventory_api", settings.log_level, settings.log_format)
    tracing.configure("inventory_api")
    if settings.fault_injection:
        from chaos.injection import inventory_service  # not even imported in production

        app = inventory_service.create_app(settings)
    else:
        app = create_app(settings)
    server.run(app, settings.host, settings.port)


if __name__ == "__main__":
    main()
