"""What people have decided about orders of the list, so that nobody is asked about them again.

No call of a service can undo what they decide about: goods that have left. Kept beside the trail,
where no restore loses it. It is about one order and one reason; another reason asks anew.
"""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from backup.durable import made_folder, write_whole
from backup.errors import BackupProblem
from backup.reconcile.contracts import ForPeople, Rule


class Decision(BaseModel):
    """What somebody has decided about an order, in their words."""

    model_config = ConfigDict(frozen=True)

    order_id: UUID
    rule: Rule
    note: str
    at: datetime


_DECISIONS = TypeAdapter(list[Decision])


class Decisions:
    """The decisions in `file`, which need not be there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> list[Decision]:
        """Return every decision, oldest first."""
        try:
            return _DECISIONS.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError as error:
            raise BackupProblem(
                f"{self._file} is not a list of decisions: mend it, or put it aside"
            ) from error

    def known(self) -> frozenset[tuple[UUID, Rule]]:
        """Return about which orders there is a decision, and for which reason."""
        return frozenset((each.order_id, each.rule) for each in self.all())

    def add(self, about: ForPeople, note: str) -> None:
        """Keep what was decided about an order of the list, durably."""
        decision = Decision(
            order_id=about.order_id, rule=about.rule, note=note, at=datetime.now(UTC)
        )
        content = _DECISIONS.dump_json([*self.all(), decision], indent=1)
        made_folder(self._file.parent)
        write_whole(self._file, content)
