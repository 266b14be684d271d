"""Entry point of the process that runs the installed subscribers."""

from service_kit.http import server
from service_kit.observability import logs
from service_kit.process.settings import load
from subscribers.main import create_app, installed
from subscribers.settings import SubscriberSettings


def main() -> None:
    """Run until told to stop."""
    settings = load(SubscriberSettings)
    logs.configure("subscribers", settings.log_level, settings.log_format)
    server.run(create_app(settings, installed()), settings.host, settings.port)


if __name__ == "__main__":
    main()
