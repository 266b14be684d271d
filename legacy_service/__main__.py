"""Entry point of legacy_service, the stand-in for the customer's legacy backup service."""

from legacy_service.main import create_app
from legacy_service.settings import LegacyServiceSettings
from service_kit.http import server
from service_kit.observability import logs, tracing
from service_kit.process.settings import load


def main() -> None:
    """Serve until told to stop."""
    settings = load(LegacyServiceSettings)
    logs.configure("legacy_service", settings.log_level, settings.log_format)
    tracing.configure("legacy_service")
    server.run(create_app(settings), settings.host, settings.port)


if __name__ == "__main__":
    main()
