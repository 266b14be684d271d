"""Entry point of the UI process."""

import contextlib

import uvicorn

from service_kit.http import server
from service_kit.observability import logs, tracing
from service_kit.process.settings import load
from ui.main import create_app
from ui.settings import UiSettings


def main() -> None:
    """Serve until told to stop."""
    settings = load(UiSettings)
    logs.configure("ui", settings.log_level, settings.log_format)
    tracing.configure("ui")
    config = server.config(create_app(settings), settings.host, settings.port)
    # the one process whose pages stay connected; compressing every small update costs more CPU
    # than the bytes are worth
    config.ws = "auto"
    config.ws_per_message_deflate = False
    server.raise_open_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
