"""Which base backups lead on to the life of a cluster that goes on."""

from pathlib import Path

from backup.restore_points import archive
from backup.restore_points.base import BaseBackup
from backup.restore_points.reach import lead_on
from tests.support.small_capsules import reach


def base(name: str, timeline: int, end_lsn: int) -> BaseBackup:
    update = {"name": name, "timeline": timeline, "end_lsn": end_lsn}
    return reach().base.model_copy(update=update)


def test_a_base_backup_of_a_life_that_a_restore_has_ended_leads_nowhere(tmp_path: Path) -> None:
    wal = tmp_path / "wal"
    wal.mkdir()
    history = tmp_path / "00000003.history"
    history.write_text("1\t0/5000000\tbefore a deletion\n2\t0/7000000\tbefore another\n")
    archive.push(history, history.name, wal)
    bases = [
        base("first", 1, 0x4000000),
        base("at the switch", 1, 0x5000000),
        base("after the first restore's target", 1, 0x6000000),
        base("second life", 2, 0x6800000),
        base("too late in the second life", 2, 0x7000001),
        base("third life", 3, 0x9000000),
    ]
    found = [one.name for one in lead_on(bases, 3, wal)]
    assert found == ["first", "at the switch", "second life", "third life"]


def test_before_any_restore_all_lead_on(tmp_path: Path) -> None:
    bases = [base("first", 1, 0x4000000), base("second", 1, 0x5000000)]
    assert lead_on(bases, 1, tmp_path) == bases
