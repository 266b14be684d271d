"""Write `.env` for docker compose: secrets made on this machine, readable by its owner only."""

import os
import secrets
import sys
from pathlib import Path

from service_kit.http.tokens import issue

TEN_YEARS_S = 10 * 365 * 86_400


def content() -> str:
    """Return the file's text, with new secrets each time."""
    key = secrets.token_urlsafe(48)
    values = {
        "TOKEN_KEY": key,
        "ORDERS_PASSWORD": secrets.token_urlsafe(24),
        "INVENTORY_PASSWORD": secrets.token_urlsafe(24),
        "TEMPORAL_DB_PASSWORD": secrets.token_urlsafe(24),
        # what the worker shows to the inventory service
        "INVENTORY_TOKEN": issue(key, "worker", "service", TEN_YEARS_S),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def main() -> None:
    """Write the file, never over an existing one: its passwords are those of the data volumes."""
    target = Path(".env")
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(".env exists and was left as it is. Delete it (and the volumes) to start afresh.")
    with os.fdopen(descriptor, "w") as file:
        file.write(content())
    print("Wrote .env. Next: docker compose up --build --wait")


if __name__ == "__main__":
    main()
