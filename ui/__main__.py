"""Start the UI."""

from service_kit import logs, server
from service_kit.settings import load
from ui.main import create_app
from ui.settings import UiSettings


def main() -> None:
    """Serve until told to stop."""
    settings = load(UiSettings)
    logs.configure("ui", settings.log_level, settings.log_format)
    server.run(create_app(settings), settings.host, settings.port)


if __name__ == "__main__":
    main()
