"""What the trail looks like, from files, calls and stores."""

import asyncio
import math
import shutil
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from backup import metrics, steps
from backup import status as status_module
from backup.capsule.manifest import SealedCapsule
from backup.contracts import DAYS, ArchiveState
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.nightly.kept import KeptComparison
from backup.restore.proofs import Drill, Proof, write_drill, write_proof
from backup.status import Calls, TrailStatus, show, trail_of
from backup.steps import KeptStore, proven_hashes, sealed_capsules
from backup.stores.folder import FolderStore
from backup.stores.store import Copy
from backup.trail_folder import TrailFolder
from deploy.local.ports import free_port
from service_kit.process.background import Background
from tests.support.small_capsules import DAY, MIDNIGHT, Made, make
from tests.support.trail.claims_site import open_pool
from tests.support.trail.comparisons import found

NOW = MIDNIGHT + timedelta(hours=3)
ARCHIVE = ArchiveState(lag_seconds=1.5, last_archived_at=MIDNIGHT, problems=[])


def sealed(tmp_path: Path, trail: TrailFolder) -> tuple[Made, SealedCapsule]:
    made = make(tmp_path)
    made.folder = trail.capsules
    return made, made.seal()


def prove(trail: TrailFolder, capsule: SealedCapsule, differences: Sequence[str] = ()) -> None:
    proof = Proof(
        capsule_sha256=capsule.sha256,
        day=capsule.day,
        from_store=None,
        proven_at=NOW,
        seconds=2.0,
        covers_to=capsule.covers_to,
        differences=tuple(differences),
    )
    write_proof(trail.capsules, capsule, proof)


async def test_a_capsule_is_shown_with_its_proof_its_copies_and_its_call(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path / "trail")
    _, capsule = sealed(tmp_path, trail)
    prove(trail, capsule)
    write_drill(trail.capsules, Drill(at=NOW, ok=True, seconds=9.0, detail="all stores"))
    near = KeptStore(FolderStore("near", trail.copies, reserve_bytes=0), trail.capsules)
    await near.put(capsule)
    calls: Calls = {DAY: ("unknown", "no answer")}
    shown = trail_of(trail, NOW, ARCHIVE, calls, [near])
    assert len(shown.days) == DAYS
    assert shown.days[0].day == DAY
    [seen] = shown.days[0].capsules
    assert (seen.sha256, seen.proven_at, seen.copies) == (capsule.sha256, NOW, ["near"])
    assert (shown.days[0].call, shown.days[1].call) == ("unknown", "none")
    assert (shown.call_today.state, shown.call_today.detail) == ("unknown", "no answer")
    assert shown.newest_proven is not None
    assert shown.newest_proven.covers_to == capsule.covers_to
    assert shown.last_drill is not None
    assert shown.last_drill.ok
    assert (shown.stores, shown.stores_away) == (["near"], [])


def test_the_last_comparison_is_told_and_why_there_is_no_later_one(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path / "trail")
    untouched = trail_of(trail, NOW, ARCHIVE, {}, [])
    assert (untouched.last_comparison, untouched.comparison_problem) == (None, "")
    compared = found(2, found=["2 x held for nobody"], for_people=3, at=NOW)
    KeptComparison(trail.last_comparison).keep(compared)
    KeptComparison(trail.last_comparison).note("the database of inventory cannot be reached")
    shown = trail_of(trail, NOW, ARCHIVE, {}, [])
    assert shown.last_comparison is not None
    assert shown.last_comparison.model_dump(mode="json") == compared.model_dump(mode="json")
    assert shown.comparison_problem == "the database of inventory cannot be reached"
    trail.last_comparison.write_text("{")
    assert trail_of(trail, NOW, ARCHIVE, {}, []).last_comparison is None


def test_metrics_show_what_is_kept_also_after_a_new_start(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path / "trail")
    KeptComparison(trail.last_comparison).keep(found(2, for_people=3, at=NOW))
    show(trail_of(trail, NOW, ARCHIVE, {}, []))
    values = {
        name: REGISTRY.get_sample_value(f"backup_{name}")
        for name in ("reconcile_violations", "reconcile_for_people")
    }
    assert values == {"reconcile_violations": 2.0, "reconcile_for_people": 3.0}
    last = REGISTRY.get_sample_value(
        "backup_last_success_timestamp_seconds", {"step": metrics.RECONCILE}
    )
    assert last == NOW.timestamp()


def test_metrics_keep_the_good_drill_before_a_failed_one_and_count_problems(
    tmp_path: Path,
) -> None:
    trail = TrailFolder(tmp_path / "trail")
    good = Drill(at=NOW, ok=True, seconds=9.0, detail="all stores")
    write_drill(trail.capsules, good)
    failed = good.model_copy(update={"ok": False, "at": NOW + timedelta(days=1)})
    write_drill(trail.capsules, failed)
    off = ARCHIVE.model_copy(update={"problems": ["archive_mode is off", "another"]})
    shown = trail_of(trail, NOW + timedelta(days=2), off, {}, [])
    show(shown)
    assert shown.last_drill is not None
    assert not shown.last_drill.ok
    last = REGISTRY.get_sample_value(
        "backup_last_success_timestamp_seconds", {"step": metrics.DRILL}
    )
    assert last == NOW.timestamp()
    assert REGISTRY.get_sample_value("backup_archive_problems") == 2.0


async def test_a_store_that_is_away_is_named_and_remembered(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path / "trail")
    _, capsule = sealed(tmp_path, trail)
    near = KeptStore(FolderStore("near", trail.copies, reserve_bytes=0), trail.capsules)
    await near.put(capsule)
    shutil.rmtree(trail.copies)
    trail.copies.write_text("what is there instead of a disk cannot be read")
    await near.look()
    shown = trail_of(trail, NOW, ARCHIVE, {}, [near])
    assert shown.stores_away == ["near"]
    assert shown.days[0].capsules[0].copies == ["near"]
    assert shown.call_today.state == "not_yet"


class HangingStore(FolderStore):
    """A share of a machine that is gone: whoever asks for it waits until it is back."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder, reserve_bytes=0)
        self.is_back = threading.Event()

    def _list(self) -> list[Copy]:
        self.is_back.wait()
        return super()._list()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[HangingStore]:
    store = HangingStore("far", tmp_path / "far")
    yield store
    store.is_back.set()


async def test_a_store_that_hangs_stops_no_watch_and_hides_no_other_store(
    tmp_path: Path, far: HangingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LOOK_WITHIN_S", 0.2)
    trail = TrailFolder(tmp_path / "trail")
    _, capsule = sealed(tmp_path, trail)
    near = FolderStore("near", trail.copies, reserve_bytes=0)
    await near.put(capsule)
    stores = [KeptStore(store, trail.capsules) for store in (far, near)]
    away = await open_pool(f"postgresql://backup:x@127.0.0.1:{free_port()}/backup")
    status = TrailStatus(away, LegacyCalls(away), ClaimFolder(trail.claims), trail, stores)
    async with Background(status.watch(), status.watch_stores()):
        async with asyncio.timeout(5.0):
            # nobody tells when a look has come to its end
            while not (status.last and stores[0].problem and stores[1].copies):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        shown = await status.look()
    assert shown.stores_away == ["far"]
    assert [copy.sha256 for copy in stores[1].copies] == [capsule.sha256]
    far.is_back.set()
    await stores[0].look()
    assert stores[0].problem == ""
    away.terminate()


async def test_a_trail_whose_disk_hangs_is_given_up_and_its_archive_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back = threading.Event()
    monkeypatch.setattr(status_module, "READ_WITHIN_S", 0.1)
    monkeypatch.setattr(status_module, "trail_of", lambda *_: is_back.wait())
    trail = TrailFolder(tmp_path / "trail")
    away = await open_pool(f"postgresql://backup:x@127.0.0.1:{free_port()}/backup")
    status = TrailStatus(away, LegacyCalls(away), ClaimFolder(trail.claims), trail, [])
    try:
        for _ in range(3):
            metrics.ARCHIVE_LAG.set(1.0)
            with pytest.raises(TimeoutError):
                await status.look()
            lag = REGISTRY.get_sample_value("backup_archive_lag_seconds")
            assert lag is not None
            assert math.isnan(lag)  # nobody knows: the database is away
    finally:
        is_back.set()
        away.terminate()


async def test_a_store_that_hangs_takes_no_thread_of_anybody_else(
    far: HangingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LOOK_WITHIN_S", 0.1)
    store = KeptStore(far, far.folder)
    await asyncio.gather(*(store.look() for _ in range(100)))
    assert "did not answer" in store.problem
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "sealed"), 5.0) == "sealed"


def test_what_a_failed_proof_or_a_damaged_label_leaves_is_not_taken_for_good(
    tmp_path: Path,
) -> None:
    trail = TrailFolder(tmp_path / "trail")
    made, capsule = sealed(tmp_path, trail)
    prove(trail, capsule, ["orders.order_events should have 5 entries, and has 4"])
    other = made.seal(DAY - timedelta(days=1))
    other.path.with_suffix(".json").write_text("{}")
    found, problems = sealed_capsules(trail.capsules)
    assert [one.sha256 for one in found] == [capsule.sha256]
    assert len(problems) == 1
    assert proven_hashes(trail.capsules) == set()
    shown = trail_of(trail, datetime.now(UTC), ARCHIVE, {}, [])
    assert shown.newest_proven is None
    assert shown.archive.problems == problems


def test_capsules_of_months_ago_are_shown_behind_the_last_days(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path / "trail")
    made, _ = sealed(tmp_path, trail)
    old = made.seal(DAY - timedelta(days=90))
    shown = trail_of(trail, NOW, ARCHIVE, {}, [])
    assert [day.capsules[0].sha256 for day in shown.older] == [old.sha256]
    assert [day.day for day in shown.days if day.capsules] == [DAY]


def test_a_folder_in_which_nothing_was_ever_kept_is_an_empty_trail(tmp_path: Path) -> None:
    shown = trail_of(TrailFolder(tmp_path / "none"), NOW, ARCHIVE, {}, [])
    assert all(not day.capsules and day.call == "none" for day in shown.days)
    assert (shown.newest_proven, shown.last_drill) == (None, None)
    assert not (tmp_path / "none").exists()
