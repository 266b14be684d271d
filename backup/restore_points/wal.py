"""Positions in the write-ahead log and the names of the files that hold them: arithmetic only.

A name of 24 hexadecimal digits is timeline, then the number of the segment in two parts. After a
restore a cluster goes on with a new timeline, and a history file says where it left the old ones.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, PlainSerializer

from backup.errors import ArchiveIncomplete

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
# Also archived: the head of a segment that a promotion cut short, and a note for each base backup.
_OTHER = re.compile(r"[0-9A-F]{24}(\.partial|\.[0-9A-F]{8}\.backup)")
_LOG_BYTES = 1 << 32

# The long header at the beginning of each segment (src/include/access/xlog_internal.h): magic,
# flags, timeline, address of the page, length of a continued record, system identifier, size of
# segments and of blocks. The same in all supported major versions.
_LONG_HEADER = struct.Struct("=HHIQI4xQII")


def parse_lsn(text: str) -> int:
    """Return the byte position that Postgres writes as `0/3000028`."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(position: int) -> str:
    """Return a byte position as Postgres writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


# A position as a number, in JSON as Postgres writes it.
Lsn = Annotated[
    int,
    BeforeValidator(lambda given: parse_lsn(given) if isinstance(given, str) else given),
    PlainSerializer(format_lsn, return_type=str),
]


class TimelineSwitch(BaseModel, frozen=True):
    """Where a timeline was left for the next one."""

    timeline: int
    lsn: Lsn


def is_archived_name(name: str) -> bool:
    """Tell whether Postgres archives files of such a name: nothing else may get in or out."""
    return bool(_SEGMENT.fullmatch(name) or _HISTORY.fullmatch(name) or _OTHER.fullmatch(name))


def is_segment(name: str) -> bool:
    """Tell whether this is the name of a whole segment."""
    return bool(_SEGMENT.fullmatch(name))


def is_history(name: str) -> bool:
    """Tell whether this is the name of a timeline's history."""
    return bool(_HISTORY.fullmatch(name))


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """Return the name of the file that holds segment `number` of a timeline."""
    high, low = divmod(number, _LOG_BYTES // segment_bytes)
    return f"{timeline:08X}{high:08X}{low:08X}"


def segment_number(name: str, segment_bytes: int) -> int:
    """Return the number of the segment in a name, whatever follows the 24 digits."""
    return int(name[8:16], 16) * (_LOG_BYTES // segment_bytes) + int(name[16:24], 16)


def history_name(timeline: int) -> str:
    """Return the name of the file that says where `timeline` comes from."""
    return f"{timeline:08X}.history"


def parse_history(content: str) -> tuple[TimelineSwitch, ...]:
    """Return the timelines before this one, oldest first, each with the place it was left."""
    found = []
    for line in content.splitlines():
        fields = line.split(maxsplit=2)
        if len(fields) >= 2 and fields[0].isdecimal():
            found.append(TimelineSwitch(timeline=int(fields[0]), lsn=parse_lsn(fields[1])))
    return tuple(found)


def needed_segments(
    *,
    start: int,
    end: int,
    base_end: int | None = None,
    base_timeline: int,
    timeline: int,
    history: Sequence[TimelineSwitch],
    segment_bytes: int,
) -> list[str]:
    """Return the files that a recovery reads from `start` to `end`, in order, without a gap.

    `history` is that of `timeline`, on which `end` lies. The segment in which a timeline was left
    is read from the new one, which begins with a copy of it. The base backup ends at `base_end`:
    one that ends behind the place where its timeline was left holds what never was on the new one.
    """
    lineage = [*(switch.timeline for switch in history), timeline]
    begins = [0, *(switch.lsn for switch in history)]
    left_at = {switch.timeline: switch.lsn for switch in history}
    reached = max(start, base_end or start)
    if base_timeline not in lineage or reached > left_at.get(base_timeline, end):
        raise ArchiveIncomplete(
            f"timeline {timeline} does not lead on from {format_lsn(start)} on timeline"
            f" {base_timeline}, where the base backup begins"
        )
    names = []
    for number in range(start // segment_bytes, (end - 1) // segment_bytes + 1):
        owner = max(index for index, begin in enumerate(begins) if begin // segment_bytes <= number)
        names.append(segment_name(lineage[owner], number, segment_bytes))
    return names


def first_gap(needed: Iterable[str], present: Iterable[str]) -> str | None:
    """Return the first needed file that is not there."""
    there = set(present)
    return next((name for name in needed if name not in there), None)


def check_header(name: str, head: bytes, *, system_identifier: str, segment_bytes: int) -> None:
    """Refuse a segment that is of another cluster, or another one than its name says.

    A recovery that meets such a file takes it for the end of the log and says nothing.
    """
    if len(head) < _LONG_HEADER.size:
        raise ArchiveIncomplete(f"the log file {name} is too short to be one")
    _, _, timeline, address, _, system, size, _ = _LONG_HEADER.unpack_from(head)
    if str(system) != system_identifier or size != segment_bytes:
        raise ArchiveIncomplete(f"the log file {name} is of another cluster (system {system})")
    if address != segment_number(name, segment_bytes) * segment_bytes or timeline > int(
        name[:8], 16
    ):
        raise ArchiveIncomplete(f"the log file {name} holds another part of the log than it says")
