"""The plan of a run's faults: pure, complete, and held against what has happened."""

import functools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from chaos.checker.agreement import compare
from chaos.checker.attempts import Attempt
from chaos.checker.check_result import Check
from chaos.checker.fault_coverage import FaultCount, count_faults, planned_faults_fired
from chaos.client.history import Entry
from chaos.run_config import RunConfig
from chaos.scenarios.catalogue import SCENARIOS, VERIFY
from chaos.scenarios.plan import Plan
from chaos.scenarios.records import Disturbance
from chaos.scenarios.scenario import Scenario
from chaos.scenarios.schedule import span_s
from tests.support.settled_facts import fired_as, settled_facts

ATTACKING = [name for name, scenario in SCENARIOS.items() if scenario.attacks or scenario.events]


def config(scenario: Scenario, seed: int = 7, orders: int = 400) -> RunConfig:
    return RunConfig(scenario, seed, orders, 15.0, Path("unused"))


@functools.cache
def long_plan(name: str) -> Plan:
    return config(SCENARIOS[name], orders=1_500).plan


@pytest.mark.parametrize("name", ATTACKING)
def test_the_same_seed_gives_the_same_fault_list_byte_for_byte(name: str) -> None:
    first = config(SCENARIOS[name]).plan.fault_list
    again = config(SCENARIOS[name]).plan.fault_list
    assert first.encode() == again.encode()
    assert first
    assert first != config(SCENARIOS[name], seed=8).plan.fault_list


@pytest.mark.parametrize("name", ATTACKING)
def test_a_scenario_without_one_of_its_faults_has_another_fault_list(name: str) -> None:
    whole = long_plan(name).fault_list
    for attack in SCENARIOS[name].attacks:
        assert f'"{attack.rule.name}"' in whole
    for event in SCENARIOS[name].events:
        assert f'"{event.name}"' in whole


def test_verification_plans_every_kind_often_enough() -> None:
    plan = RunConfig(VERIFY.scenario, VERIFY.seed, VERIFY.orders, VERIFY.rate, Path("unused")).plan
    planned = Counter(identity[0] for identity in plan.promised)
    on_attempt = Counter(identity[1:] for identity in plan.promised)
    own = Counter(each[0] for each in plan.promised if on_attempt[each[1:]] == 1)
    floors = VERIFY.scenario.floors
    assert VERIFY.orders >= 1_500
    assert (floors.request, floors.process) == (20, 3)
    kinds = [attack.rule.name for attack in VERIFY.scenario.attacks]
    assert len(kinds) + len(VERIFY.scenario.events) >= 12
    for attack in VERIFY.scenario.attacks:
        floor = floors.process if attack.kills else floors.request
        # On a busy machine half of the victims' attempts find the warehouse killed or cut off.
        assert planned[attack.rule.name] >= 2 * floor, attack.rule.name
        # And a victim of two faults is met by one of them only.
        assert own[attack.rule.name] >= 2 * floor or not attack.kills, attack.rule.name
    turns = Counter(scheduled.event.name for scheduled in plan.schedule)
    assert all(turns[event.name] >= 3 for event in VERIFY.scenario.events)


@pytest.mark.parametrize("name", ATTACKING)
def test_a_fault_that_does_not_fire_fails_the_run_by_its_name(name: str) -> None:
    scenario = SCENARIOS[name]
    plan = long_plan(name)
    observations = settled_facts(())
    observations.planned = plan.orders

    def verdict(without: str) -> Check:
        observations.fired = [fired_as(each) for each in plan.promised if each[0] != without]
        turns = Counter(scheduled.event.name for scheduled in plan.schedule)
        events = Counter({name: times for name, times in turns.items() if name != without})
        observations.history = [
            Entry(0.0, "invoke", "place", o.number, str(o.order_id), 2)
            for o in plan.orders
            if o.clicks > 1 and without != "double-click"
        ]
        gone = 0 if without == "history-gone" else scenario.forgets
        observations.forgotten = frozenset(o.order_id for o in plan.orders[:gone])
        return planned_faults_fired(
            count_faults(scenario, observations, events, plan.schedule, plan.promised),
            observations,
        )

    assert verdict(without="").holds
    names = [a.rule.name for a in scenario.attacks] + [e.name for e in scenario.events]
    names += ["double-click"] if scenario.crowd.double_clicks else []
    names += ["history-gone"] if scenario.forgets else []
    for missing in names:
        assert not verdict(missing).holds
        assert verdict(missing).violations[0].startswith(missing)


async def test_what_fires_unpredicted_or_is_predicted_and_does_not_fire_is_told_apart() -> None:
    scenario = replace(SCENARIOS["gremlin"], blocks=("attack",))
    plan = config(scenario).plan
    observations = settled_facts(plan.orders)
    observations.fired = [fired_as(identity) for identity in plan.promised]

    async def no_attempts(_: UUID) -> list[Attempt]:
        return []

    async def judge(gone: list[Disturbance]) -> tuple[int, int]:
        del observations.__dict__["affected"]
        found = await compare(
            plan.promised,
            scenario.points,
            observations,
            no_attempts,
            gone,
            frozenset(),
        )
        return len(found.unexplained), len(found.unpredicted)

    assert observations.affected
    assert await judge([]) == (0, 0)
    one = observations.fired.pop()
    assert observations.affected is not None
    assert await judge([]) == (1, 0)
    observations.fired += [one, replace(one, attempt=9), replace(one, attempt=9)]
    assert observations.affected is not None
    assert await judge([]) == (0, 1)


@pytest.mark.parametrize("name", ATTACKING)
def test_the_orders_of_a_scenario_last_as_long_as_all_its_events(name: str) -> None:
    # Requests that are spoiled have no part in it, and to foretell them takes a while.
    scenario = replace(SCENARIOS[name], attacks=(), cancels_hit_by=None)
    for seed in range(1, 6):
        plan = config(scenario, seed, scenario.orders).plan
        ends = [scheduled.at_s + span_s(scheduled.event) for scheduled in plan.schedule]
        begins = [*(scheduled.at_s for scheduled in plan.schedule[1:]), plan.orders[-1].at_s]
        assert all(end <= begin for end, begin in zip(ends, begins, strict=False))
        assert {m.event.name for m in plan.schedule} == {e.name for e in scenario.events}


def test_a_fault_that_shares_all_its_victims_may_be_missed_unless_it_has_a_floor() -> None:
    own = FaultCount("f", "late", "request", planned=2, fired=0, floor=1, what="", contested=1)
    shared = replace(own, contested=2)
    assert not own.enough
    assert shared.enough
    assert not replace(shared, floor=2).enough


FAILED = Attempt("reserve", 1, "too slow", since=100.0, at=102.0)


@pytest.mark.parametrize(
    ("attempt", "gone", "late", "explained"),
    [
        (FAILED, None, False, False),
        (FAILED, (101.0, 101.5), False, True),
        (FAILED, (99.0, 100.5), False, True),
        (FAILED, (98.0, 99.0), False, False),
        (FAILED, (103.0, 104.0), False, False),
        (FAILED, None, True, True),
        (replace(FAILED, failure=None), (101.0, 101.5), True, False),
    ],
)
async def test_only_what_met_the_attempt_itself_explains_that_a_fault_did_not_fire(
    attempt: Attempt, gone: tuple[float, float] | None, late: bool, explained: bool
) -> None:
    order = config(SCENARIOS["calm"], orders=1).plan.orders[0]
    observations = settled_facts([order])
    missing = ("worker-dies-answered", order.order_id, "reserve", 1)
    promised = [missing]
    if late:
        promised.append(("gremlin", order.order_id, "reserve", 1))
        observations.fired = [replace(fired_as(promised[-1]), fault="delay")]

    async def attempts(_: UUID) -> list[Attempt]:
        return [attempt]

    found = await compare(
        promised,
        {missing[0]: "worker.after_answer"},
        observations,
        attempts,
        [Disturbance(gone[0], gone[1], "something was gone")] if gone else [],
        frozenset(),
    )
    assert (not found.unexplained) == explained
