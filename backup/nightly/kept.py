"""The last comparison as a small file in the folder of the trail: a lost database leaves it."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from backup.durable import made_folder, write_whole
from backup.nightly.contracts import Comparison


class Kept(BaseModel):
    """The last comparison that came to its end; `problem` says why there is none since."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    last: Comparison | None = None
    problem: str = ""
    tried_at: datetime | None = None


class KeptComparison:
    """What `file` holds, which need not be there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Kept:
        """Return what is kept; a file that cannot be read is as good as none."""
        try:
            return Kept.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return Kept()

    def keep(self, found: Comparison) -> None:
        """Keep what was found, durably."""
        self._write(Kept(last=found, tried_at=found.at))

    def note(self, problem: str) -> None:
        """Keep why nothing could be compared just now, beside what was found last."""
        self._write(Kept(last=self.read().last, problem=problem, tried_at=datetime.now(UTC)))

    def _write(self, kept: Kept) -> None:
        made_folder(self._file.parent)
        write_whole(self._file, kept.model_dump_json(indent=1).encode())
