"""What a base backup's files tell of it: its size, and what Postgres writes into its manifest."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backup.errors import BaseUnusable
from backup.restore_points.wal import parse_lsn


def log_range(file: Path) -> dict[str, Any]:
    """Return timeline, beginning and end in the log of a base backup, from its manifest."""
    manifest: Mapping[str, Any] = json.loads(file.read_bytes())
    ranges = manifest["WAL-Ranges"]
    if len(ranges) != 1:
        raise BaseUnusable(
            f"the base backup in {file.parent} was taken across a change of timeline"
        )
    return {
        "timeline": ranges[0]["Timeline"],
        "start_lsn": parse_lsn(ranges[0]["Start-LSN"]),
        "end_lsn": parse_lsn(ranges[0]["End-LSN"]),
    }


def size_of(folder: Path) -> int:
    """Return how many bytes all files below a folder have."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
