"""A store of capsules as a source: the copy that has the moment, or the next if it is damaged."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.capsule.open import ROOM_TO_SPARE_BYTES
from backup.durable import require_room
from backup.errors import CapsuleDamaged, CopyDamaged, CopyMissing, NotCovered, WrongCapsule
from backup.restore.capsule_source import CapsuleSource
from backup.restore.moment import in_words
from backup.restore.scratch import scratch_in
from backup.restore.sources import LaidOut, Offer, Say
from backup.stores.store import Copy, Store

_DAMAGED = (CapsuleDamaged, CopyDamaged, CopyMissing, WrongCapsule)

AsSource = Callable[[SealedCapsule, str], CapsuleSource]


class StoreSource:
    """The copies in a store; each is fetched to `scratch` before anything else happens.

    `as_source` makes a source of a capsule in a folder, given what is said of where it came from.
    """

    def __init__(self, store: Store, as_source: AsSource, scratch: Path, *, say: Say) -> None:
        self._store = store
        self._as_source = as_source
        self._scratch = scratch
        self._say = say

    async def check(self, at: datetime | None) -> Offer:
        """Fetch the copy and read all of it."""
        notes: list[str] = []
        for copy in await self._candidates(at):
            try:
                async with self._fetched(copy) as source:
                    return (await source.check(at)).noting(notes)
            except _DAMAGED as problem:
                self._pass_over(copy, problem, notes)
        raise self._none_left(notes)

    async def lay_out(self, at: datetime | None, into: Path) -> LaidOut:
        """Fetch the copy, read all of it, and open it."""
        notes: list[str] = []
        for copy in await self._candidates(at):
            try:
                async with self._fetched(copy) as source:
                    laid = await source.lay_out(at, into)
                    return laid.model_copy(update={"offer": laid.offer.noting(notes)})
            except _DAMAGED as problem:
                self._pass_over(copy, problem, notes)
        raise self._none_left(notes)

    async def _candidates(self, at: datetime | None) -> list[Copy]:
        """Return the copies that have the moment: those with the least log to read come first."""
        copies = await self._store.list_copies()
        if not copies:
            raise NotCovered(f"the store {self._store.name} has no copies")
        if at is None:
            return sorted(copies, key=lambda copy: (copy.covers_to, copy.day), reverse=True)
        having = [copy for copy in copies if copy.covers_from <= at <= copy.covers_to]
        if not having:
            first = min(copy.covers_from for copy in copies)
            last = max(copy.covers_to for copy in copies)
            raise NotCovered(
                f"{in_words(at)} is not in {self._store.name}, whose copies reach from"
                f" {in_words(first)} to {in_words(last)}"
            )
        return sorted(having, key=lambda copy: (copy.covers_from, copy.covers_to), reverse=True)

    @asynccontextmanager
    async def _fetched(self, copy: Copy) -> AsyncIterator[CapsuleSource]:
        async with scratch_in(self._scratch, "fetching a capsule") as folder:
            require_room(
                folder,
                copy.size_bytes,
                f"fetching {copy.name}",
                reserve_bytes=ROOM_TO_SPARE_BYTES,
            )
            self._say(f"fetching the capsule of {copy.day} from {self._store.name}")
            capsule = await self._store.get(copy, folder)
            yield self._as_source(capsule, f" in {self._store.name}")

    def _pass_over(self, copy: Copy, problem: Exception, notes: list[str]) -> None:
        notes.append(f"the copy of {copy.day} was passed over: {problem}")
        self._say(notes[-1])

    def _none_left(self, notes: list[str]) -> CopyDamaged:
        tried = "; ".join(notes)
        return CopyDamaged(f"no copy in {self._store.name} can be used: {tried}")
