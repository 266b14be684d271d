"""The proof in its short form: one attack that has to be survived, and one that is a sham."""

import json
from pathlib import Path

import pytest

from chaos.checker.check_result import Check
from chaos.injection.rules import FaultRule
from chaos.participants import Setting
from chaos.report import write
from chaos.run import Run
from chaos.run_config import RunConfig
from chaos.run_result import RunResult
from chaos.scenarios.catalogue import SCENARIOS, SHORT
from chaos.scenarios.scenario import Attack, Scenario
from chaos.scenarios.workload import Crowd
from deploy.local.stack import POSTGRES

# A run ends by itself; only one that hangs is cut off here, not one that a busy machine slows down.
pytestmark = pytest.mark.timeout(1_200)


async def attack(config: RunConfig) -> RunResult:
    return await Run(config, lambda _: None).go()


def broken(outcome: RunResult) -> list[Check]:
    return [check for check in outcome.checks if not check.holds]


async def test_every_promise_is_kept_where_the_naive_way_loses_orders(tmp_path: Path) -> None:
    config = RunConfig(SHORT.scenario, SHORT.seed, SHORT.orders, SHORT.rate, tmp_path)
    outcome = await attack(config)
    page = write(outcome)
    assert not broken(outcome)
    assert outcome.agreement.fired >= 20
    assert outcome.naive is not None
    wrong_without = outcome.naive.orders - outcome.naive.correct
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"]
    assert report["product"]["right"] == SHORT.orders
    assert wrong_without > 0
    assert report["naive"]["right"] == SHORT.orders - wrong_without
    assert report["command"] in page.read_text()
    planned = (tmp_path / "faults-planned.jsonl").read_text()
    assert planned == config.plan.fault_list
    fired = set((tmp_path / "faults-fired.jsonl").read_text().splitlines())
    assert fired <= set(planned.splitlines())


async def test_a_planned_fault_that_cannot_fire_fails_the_run(tmp_path: Path) -> None:
    # Nobody cancels in this run, so no release ever comes by.
    never = FaultRule(
        name="never", point="inventory.after_commit", fault="error", operations=("release",)
    )
    scenario = Scenario("sham", "Nothing happens.", (Attack(never, "late"),), crowd=Crowd(0.0))
    outcome = await attack(RunConfig(scenario, 1, 10, 10.0, tmp_path, naive=None))
    assert [check.name for check in broken(outcome)] == ["I17"]
    assert broken(outcome)[0].violations[0].startswith("never fired 0 times")


class LosesItsDatabase(Run):
    """A run in which the database does not come back."""

    async def _forget(self, setting: Setting) -> None:
        await setting.target.system.restartable[POSTGRES].stop()


async def test_a_system_that_does_not_come_back_gets_a_verdict_too(tmp_path: Path) -> None:
    config = RunConfig(SCENARIOS["calm"], 1, 5, 10.0, tmp_path, naive=None)
    outcome = await LosesItsDatabase(config, lambda _: None).go()
    assert {"I2", "I4", "I4a", "I6"} <= {check.name for check in broken(outcome)}
    write(outcome)
    assert not json.loads((tmp_path / "report.json").read_text())["passed"]
