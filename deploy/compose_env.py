"""Write `.env` for docker compose: secrets made on this machine, readable by its owner only.

A file that is there already keeps every line, for its passwords are those of the data volumes. What
this release needs and it does not have is added.
"""

import os
import secrets
from pathlib import Path

from service_kit.http.tokens import issue

TARGET = Path(".env")
TEN_YEARS_S = 10 * 365 * 86_400


def missing(content: str) -> dict[str, str]:
    """Return what a file with this content lacks, with new secrets each time."""
    known = _values_in(content)
    key = known.get("TOKEN_KEY") or secrets.token_urlsafe(48)
    wanted = {
        "TOKEN_KEY": key,
        "SHOP_DB_PASSWORD": secrets.token_urlsafe(24),
        "ORDERS_PASSWORD": secrets.token_urlsafe(24),
        "INVENTORY_PASSWORD": secrets.token_urlsafe(24),
        "BACKUP_PASSWORD": secrets.token_urlsafe(24),
        "TEMPORAL_DB_PASSWORD": secrets.token_urlsafe(24),
        # what the worker shows to the inventory service
        "INVENTORY_TOKEN": issue(key, "worker", "service", TEN_YEARS_S),
        # what the backup process shows to the stand-in; a service of somebody's own has another
        "BACKUP_LEGACY_TOKEN": issue(key, "backup", "service", TEN_YEARS_S),
    }
    return {name: value for name, value in wanted.items() if not known.get(name)}


def main() -> None:
    """Write the file, or add to it what it lacks."""
    descriptor = os.open(TARGET, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        file.seek(0)
        there = file.read()
        added = missing(there)
        lines = "".join(f"{name}={value}\n" for name, value in added.items())
        if there and not there.endswith("\n"):
            lines = f"\n{lines}"
        if added:
            file.write(lines)
    if not added:
        print(f"{TARGET} has all that is needed and was left as it is.")
    elif there:
        print(f"Added to {TARGET}: {', '.join(added)}. All else in it was left as it is.")
    else:
        print(f"Wrote {TARGET}. Next: docker compose up --build --wait")


def _values_in(content: str) -> dict[str, str]:
    """Return the values by name, of a later line rather than of an earlier one, as compose does."""
    pairs = (line.partition("=") for line in content.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, sep, value in pairs if sep}


if __name__ == "__main__":
    main()
