"""Group commit: who shares a transaction with whom, and who answers for what."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from service_kit.postgres import group_commit
from service_kit.postgres.group_commit import GroupCommit


class Raced(Exception):
    """A kind of error that one request can cause."""


class Gone(TimeoutError):
    """A kind of error that is nobody's fault."""


class CutOff(Exception):
    """A kind of error that leaves open what was written."""


@dataclass
class Ledger:
    """Writes down each batch; `gate` holds all writing up while it is closed."""

    batches: list[list[str]] = field(default_factory=list)
    bad: dict[str, Exception] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    writing: int = 0
    most_writing: int = 0

    async def write(self, requests: Sequence[str]) -> list[str]:
        self.batches.append(list(requests))
        self.writing += 1
        self.most_writing = max(self.writing, self.most_writing)
        try:
            await self.gate.wait()
        finally:
            self.writing -= 1
        for request in requests:
            if request in self.bad:
                raise self.bad[request]
        return [f"done {request}" for request in requests]


def cut_off(error: Exception) -> bool:
    return isinstance(error, CutOff)


def key(request: str) -> str:
    """Requests are `key` or `key/anything`."""
    return request.partition("/")[0]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def group(ledger: Ledger, *, max_batch: int = 256, writers: int = 1) -> GroupCommit[str, str]:
    return GroupCommit(
        ledger.write, key, raced=(Raced,), doubtful=cut_off, max_batch=max_batch, writers=writers
    )


async def submit_all(commits: GroupCommit[str, str], *requests: str) -> list["asyncio.Task[str]"]:
    """Submit in order; returns when all of them wait."""
    tasks = [asyncio.create_task(commits.submit(request)) for request in requests]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_lone_request_waits_for_nobody(ledger: Ledger) -> None:
    ledger.gate.set()
    assert await group(ledger).submit("a") == "done a"
    assert ledger.batches == [["a"]]


async def test_those_who_come_during_a_write_go_together_afterwards(ledger: Ledger) -> None:
    commits = group(ledger)
    first = await submit_all(commits, "a")
    others = await submit_all(commits, "b", "c", "d")
    ledger.gate.set()
    assert await asyncio.gather(*first, *others) == ["done a", "done b", "done c", "done d"]
    assert ledger.batches == [["a"], ["b", "c", "d"]]


async def test_a_batch_has_a_limit_and_keeps_the_order_of_arrival(ledger: Ledger) -> None:
    commits = group(ledger, max_batch=2)
    tasks = await submit_all(commits, "a", "b", "c", "d", "e")
    ledger.gate.set()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in ledger.batches] == [2, 2, 1]
    assert [request for batch in ledger.batches for request in batch] == list("abcde")


async def test_requests_with_the_same_key_never_share_a_batch(ledger: Ledger) -> None:
    commits = group(ledger)
    tasks = await submit_all(commits, "x", "a/1", "a/2", "b", "a/3")
    ledger.gate.set()
    await asyncio.gather(*tasks)
    for batch in ledger.batches:
        assert len({key(request) for request in batch}) == len(batch)
    of_a = [request for batch in ledger.batches for request in batch if key(request) == "a"]
    assert of_a == ["a/1", "a/2", "a/3"]


async def test_no_more_writers_than_allowed_write_at_a_time(ledger: Ledger) -> None:
    commits = group(ledger, max_batch=1, writers=3)
    tasks = await submit_all(commits, *"abcdefgh")
    ledger.gate.set()
    await asyncio.gather(*tasks)
    assert ledger.most_writing == 3


async def test_one_bad_request_does_not_take_its_neighbours_with_it(ledger: Ledger) -> None:
    ledger.bad["bad"] = Raced()
    commits = group(ledger)
    tasks = await submit_all(commits, "a", "bad", "c")
    ledger.gate.set()
    a, bad, c = await asyncio.gather(*tasks, return_exceptions=True)
    assert (a, c) == ("done a", "done c")
    assert isinstance(bad, Raced)


async def test_whatever_one_request_does_wrong_costs_its_neighbours_nothing(
    ledger: Ledger,
) -> None:
    """A kind of error that nobody foresaw, in a full batch, found in few writes."""
    ledger.bad["r100"] = OverflowError("too large for a bigint")
    commits = group(ledger)
    first = await submit_all(commits, "first")
    tasks = await submit_all(commits, *(f"r{number}" for number in range(256)))
    ledger.gate.set()
    await asyncio.gather(*first)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    bad = outcomes.pop(100)
    assert isinstance(bad, OverflowError)
    assert all(isinstance(outcome, str) for outcome in outcomes)
    assert len(ledger.batches) == 1 + 1 + 2 * 8, "the lone one, the batch, and eight halvings"


async def test_one_that_cuts_the_connection_takes_no_other_with_it(ledger: Ledger) -> None:
    ledger.bad["r5"] = CutOff()
    commits = group(ledger)
    tasks = await submit_all(commits, *(f"r{number}" for number in range(20)))
    ledger.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes.pop(5), CutOff)
    assert all(isinstance(outcome, str) for outcome in outcomes)


async def test_after_a_cut_connection_a_later_no_proves_nothing() -> None:
    """What was cut off may have been written, whatever the next try meets."""
    errors: list[Exception] = [CutOff(), Gone(), ValueError("no")]

    async def cut_then_away(requests: Sequence[str]) -> list[str]:
        raise errors.pop(0)

    commits = GroupCommit[str, str](cut_then_away, key, doubtful=cut_off)
    tasks = await submit_all(commits, "a", "b")
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, CutOff) for outcome in outcomes)
    assert errors == []


async def test_taking_a_batch_apart_has_an_end(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "SPLIT_FOR_S", 0.0)
    ledger.bad["b"] = OverflowError()
    commits = group(ledger)
    tasks = await submit_all(commits, "a")
    tasks += await submit_all(commits, "b", "c")
    ledger.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[0] == "done a"
    assert all(isinstance(outcome, OverflowError) for outcome in outcomes[1:])


async def test_one_that_lost_a_race_is_tried_once_more_alone(ledger: Ledger) -> None:
    ledger.gate.set()
    tries: list[list[str]] = []

    async def lose_once(requests: Sequence[str]) -> list[str]:
        tries.append(list(requests))
        if len(tries) == 1:
            raise Raced
        return ["second answer"]

    assert await GroupCommit(lose_once, key, raced=(Raced,)).submit("a") == "second answer"
    assert tries == [["a"], ["a"]]


async def test_an_error_that_is_nobodys_fault_is_everybodys_answer_at_once(ledger: Ledger) -> None:
    ledger.bad["b"] = Gone()
    commits = group(ledger)
    tasks = await submit_all(commits, "a", "b", "c")
    ledger.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert ledger.batches == [["a", "b", "c"]]
    assert all(isinstance(outcome, Gone) for outcome in outcomes)


async def test_after_an_error_the_next_batch_is_written(ledger: Ledger) -> None:
    ledger.bad["a"] = Gone()
    ledger.gate.set()
    commits = group(ledger)
    with pytest.raises(Gone):
        await commits.submit("a")
    assert await commits.submit("b") == "done b"


async def test_one_that_leaves_before_its_batch_starts_is_left_out(ledger: Ledger) -> None:
    commits = group(ledger)
    first = await submit_all(commits, "a")
    leaving, staying = await submit_all(commits, "b", "c")
    leaving.cancel()
    ledger.gate.set()
    assert await asyncio.gather(*first, staying) == ["done a", "done c"]
    assert ledger.batches == [["a"], ["c"]]


async def test_one_that_leaves_during_its_batch_does_not_stop_it(ledger: Ledger) -> None:
    commits = group(ledger)
    leaving, staying = await submit_all(commits, "a", "b")
    leaving.cancel()
    ledger.gate.set()
    assert await staying == "done b"
    assert ledger.batches == [["a", "b"]]


async def test_a_writer_that_answers_too_few_fails_them_all_and_leaves_nobody_waiting() -> None:
    async def forgetful(requests: Sequence[str]) -> list[str]:
        return []

    commits = GroupCommit(forgetful, key)
    tasks = await submit_all(commits, "a", "b")
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)


async def test_an_answer_that_is_an_exception_is_raised_for_its_caller_alone() -> None:
    async def choosy(requests: Sequence[str]) -> list[str | Exception]:
        return [Gone() if request == "bad" else request for request in requests]

    commits = GroupCommit[str, str](choosy, key, raced=(Gone,))
    a, bad, c = await asyncio.gather(
        *await submit_all(commits, "a", "bad", "c"), return_exceptions=True
    )
    assert (a, c) == ("a", "c")
    assert isinstance(bad, Gone)
