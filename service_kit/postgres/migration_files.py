"""Migration files: named `0001_name.sql`, numbered without gaps, never edited."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_MARK = "-- concurrently\n"
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
# Only these may run outside a transaction: each can be repeated and leaves nothing half-done.
_REPEATABLE = re.compile(
    r"(CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS \w+\s+ON |"
    r"DROP INDEX CONCURRENTLY IF EXISTS \w+$)"
)


class MigrationError(RuntimeError):
    """The database is not at a version that these files can bring forward."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `0001_name.sql`."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Return the fingerprint that proves an applied file was not edited since."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def concurrently(self) -> bool:
        """Tell whether the file builds indexes beside the traffic, outside a transaction."""
        return self.sql.startswith(_MARK)

    @property
    def statements(self) -> list[str]:
        """Return the statements of such a file; none of them has a semicolon inside."""
        return [part.strip() for part in _COMMENT.sub("", self.sql).split(";") if part.strip()]


def read(folder: Path) -> list[Migration]:
    """Return the folder's migrations in order; MigrationError when a number is missing or twice."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        number, _, name = file.stem.partition("_")
        if not (number.isascii() and number.isdigit() and name):
            raise MigrationError(f"{file.name} is not named like 0001_name.sql")
        migration = Migration(int(number), name, file.read_text())
        if migration.concurrently:
            _refuse_unrepeatable(file, migration)
        found.append(migration)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder.name} is not numbered 1, 2, 3, … without gaps")
    return found


def _refuse_unrepeatable(file: Path, migration: Migration) -> None:
    for statement in migration.statements:
        if not _REPEATABLE.match(statement):
            raise MigrationError(
                f"{file.name} runs outside a transaction, where only CREATE INDEX CONCURRENTLY "
                f"IF NOT EXISTS and DROP INDEX CONCURRENTLY IF EXISTS may stand: {statement[:60]}"
            )
