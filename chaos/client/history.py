"""History of the clients: what they saw, written outside of the system while it happens.

Jepsen's words: `invoke` before a request leaves, then `ok` (2xx), `fail` (a definite no, 4xx) or
`info` (nobody knows: no answer, a cut connection, 5xx). One JSON object a line.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

Kind = Literal["invoke", "ok", "fail", "info"]
Operation = Literal["place", "look", "cancel"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One end of one request.

    `at` is the wall clock (s). `seconds` is how long the answer took from its sending,
    `since_intended` from the moment the plan wanted it sent. `try_` counts the sendings of the
    request from 1. `problem` is the last part of a refusal's type; `advised` tells whether an
    error had all that the contract promises of one.
    """

    at: float
    kind: Kind
    operation: Operation
    number: int
    order_id: str
    try_: int
    status: int | None = None
    seconds: float | None = None
    since_intended: float | None = None
    state: str | None = None
    answered_id: str | None = None
    told: str = ""
    problem: str | None = None
    advised: bool = True

    @property
    def ends_placing(self) -> bool:
        """Whether it is what came of sending an order."""
        return self.operation == "place" and self.kind != "invoke"


def kind_of(status: int | None) -> Kind:
    """Return what an answer with this status (None: there was none) tells a client."""
    if status is None or status >= 500:
        return "info"
    return "ok" if status < 300 else "fail"


class History:
    """Appends entries to a file, line by line, and keeps them for the checker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._file: TextIO | None = None

    def __enter__(self) -> "History":
        """Open the file."""
        self._file = self.path.open("w", buffering=1, encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, entry: Entry) -> None:
        """Keep `entry`; it has left this process when this returns."""
        assert self._file is not None, "only within its with block"
        self.entries.append(entry)
        self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
