import pytest

from backup.errors import ArchiveIncomplete
from backup.restore_points import wal
from backup.restore_points.wal import TimelineSwitch, needed_segments, parse_history, parse_lsn

MIB = 1024 * 1024
SIZE = 16 * MIB


def test_positions_are_read_and_written_as_postgres_does() -> None:
    assert parse_lsn("1/2A000028") == (1 << 32) + 0x2A000028
    assert wal.format_lsn(parse_lsn("1/2A000028")) == "1/2A000028"


@pytest.mark.parametrize(
    ("number", "size", "name"),
    [
        (1, SIZE, "000000030000000000000001"),
        (256, SIZE, "000000030000000100000000"),
        (4, 1024 * MIB, "000000030000000100000000"),
        (4095, MIB, "000000030000000000000FFF"),
    ],
)
def test_a_segment_has_the_name_that_postgres_gives_it(number: int, size: int, name: str) -> None:
    assert wal.segment_name(3, number, size) == name
    assert wal.segment_number(name, size) == number


def test_only_what_postgres_archives_has_a_name_for_the_archive() -> None:
    for name in (
        "000000010000000000000001",
        "00000002.history",
        "000000010000000000000003.partial",
        "000000010000000000000002.00000028.backup",
    ):
        assert wal.is_archived_name(name)
    for name in ("..", "RECOVERYXLOG", "00000001000000000000000g", "x/000000010000000000000001"):
        assert not wal.is_archived_name(name)


def test_a_log_on_one_timeline_is_needed_from_the_first_byte_to_the_last() -> None:
    def needed(start: int, end: int) -> list[str]:
        return needed_segments(
            start=start, end=end, base_timeline=1, timeline=1, history=(), segment_bytes=SIZE
        )

    assert needed(3 * SIZE + 40, 4 * SIZE) == ["000000010000000000000003"]
    assert needed(3 * SIZE + 40, 4 * SIZE + 1)[-1] == "000000010000000000000004"


def test_the_segment_in_which_a_timeline_was_left_is_read_from_the_new_one() -> None:
    history = parse_history("1\t0/5000100\tbefore 2026\n\n2\t0/7000000\tno recovery target\n")
    assert history == (
        TimelineSwitch(timeline=1, lsn=0x5000100),
        TimelineSwitch(timeline=2, lsn=0x7000000),
    )
    assert needed_segments(
        start=0x4000028,
        end=0x8000001,
        base_timeline=1,
        timeline=3,
        history=history,
        segment_bytes=SIZE,
    ) == [
        "000000010000000000000004",
        "000000020000000000000005",
        "000000020000000000000006",
        "000000030000000000000007",
        "000000030000000000000008",
    ]


@pytest.mark.parametrize(("base_timeline", "start"), [(4, 0x4000028), (1, 0x5000200)])
def test_a_base_backup_of_a_life_that_was_left_leads_nowhere(
    base_timeline: int, start: int
) -> None:
    with pytest.raises(ArchiveIncomplete, match="does not lead on"):
        needed_segments(
            start=start,
            end=0x8000001,
            base_timeline=base_timeline,
            timeline=2,
            history=(TimelineSwitch(timeline=1, lsn=0x5000100),),
            segment_bytes=SIZE,
        )


@pytest.mark.parametrize("base_end", [0x5000100, 0x5000101])
def test_a_base_backup_has_to_end_before_its_life_was_left(base_end: int) -> None:
    def needed() -> list[str]:
        return needed_segments(
            start=0x4000028,
            end=0x8000001,
            base_end=base_end,
            base_timeline=1,
            timeline=2,
            history=(TimelineSwitch(timeline=1, lsn=0x5000100),),
            segment_bytes=SIZE,
        )

    if base_end == 0x5000100:
        assert needed()[0] == "000000010000000000000004"
    else:
        with pytest.raises(ArchiveIncomplete, match="does not lead on"):
            needed()


def test_the_first_gap_is_named() -> None:
    assert wal.first_gap(["a", "b", "c"], ["a", "c", "x"]) == "b"
    assert wal.first_gap(["a"], ["a"]) is None


def header(*, timeline: int = 1, address: int = 3 * SIZE, system: int = 77) -> bytes:
    magic, long_header = 0xD118, 2
    return wal._LONG_HEADER.pack(magic, long_header, timeline, address, 0, system, SIZE, 8192)


def check(name: str, head: bytes) -> None:
    wal.check_header(name, head, system_identifier="77", segment_bytes=SIZE)


def test_a_segment_is_known_by_its_first_page() -> None:
    check("000000010000000000000003", header())
    check("000000020000000000000003", header())  # its beginning was copied from the old timeline


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("000000010000000000000003", header(system=78), "another cluster"),
        ("000000010000000000000004", header(), "another part"),
        ("000000010000000000000003", header(timeline=2), "another part"),
        ("000000010000000000000003", b"short", "too short"),
    ],
)
def test_a_segment_that_is_not_what_its_name_says_is_refused(
    name: str, head: bytes, words: str
) -> None:
    with pytest.raises(ArchiveIncomplete, match=words):
        check(name, head)


def test_positions_are_written_into_json_for_people() -> None:
    switch = TimelineSwitch(timeline=1, lsn=0x5000100)
    assert switch.model_dump_json() == '{"timeline":1,"lsn":"0/5000100"}'
    assert TimelineSwitch.model_validate_json(switch.model_dump_json()) == switch
