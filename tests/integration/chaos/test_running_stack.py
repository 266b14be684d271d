"""A stack that somebody else has started is attacked, and left as it was found."""

from pathlib import Path

import pytest
from temporalio.client import Client

from chaos.injection.rules import GREMLIN
from chaos.nemesis.temporal_faults import running_orders
from chaos.run import Run
from chaos.run_config import RunConfig
from chaos.scenarios.network_faults import NetworkFault
from chaos.scenarios.scenario import Attack, Event, Scenario
from deploy.local.errors import StartRefused
from deploy.local.services import INVENTORY
from tests.support.command_line import CommandLine

NOT_POSSIBLE = {"doubled", "gone", "cut-off", "clock"}
SCENARIO = Scenario(
    "of-others",
    "What can be done to a stack that runs, and what cannot.",
    attacks=(
        Attack(GREMLIN.model_copy(update={"delay_s": 1.0}), "late"),
        Attack(
            NetworkFault(name="doubled", point="wire.inventory", fault="duplicate"), "duplicate"
        ),
    ),
    events=(
        Event("killed", "outage", "kill", INVENTORY, times=1),
        Event("frozen", "worker-frozen", "freeze", "worker", 0.5, times=1),
        Event("poison", "poison", "poison", "temporal", times=1),
        Event("gone", "outage", "outage", INVENTORY, 1.0, times=1),
        Event("cut-off", "partition", "cut", "shoppers", 1.0, times=1),
        Event("clock", "clock", "turn", "worker", times=1),
    ),
)


@pytest.fixture
async def valerix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("VALERIX_HOME", str(tmp_path / "home"))
    return CommandLine(tmp_path / "home")


async def test_a_running_stack_keeps_its_promises_and_its_rules(
    valerix: CommandLine, tmp_path: Path
) -> None:
    async with valerix:
        await valerix.up()
        address = f"http://127.0.0.1:{valerix.ports.order}"
        config = RunConfig(SCENARIO, 1, 60, 10.0, tmp_path, naive=None, against=address, tag="run")
        result = await Run(config, lambda _: None).go()
        assert config.skipped_faults.keys() == NOT_POSSIBLE
        assert result.passed, [check for check in result.checks if not check.holds]
        fired = {each.name for each in result.faults if each.fired}
        assert fired == {"gremlin", "killed", "frozen", "poison"}
        code, said = await valerix.run("gremlin", "status")
        assert (code, "No fault rule is in force" in said) == (0, True)
        client = await Client.connect(f"127.0.0.1:{valerix.ports.temporal}")
        assert not await running_orders(client)

        assert (await valerix.run("gremlin", "on"))[0] == 0
        with pytest.raises(StartRefused, match="switched on in that stack already: gremlin"):
            await Run(config, lambda _: None).go()


async def test_a_run_against_another_address_is_refused(
    valerix: CommandLine, tmp_path: Path
) -> None:
    async with valerix:
        await valerix.up()
        config = RunConfig(SCENARIO, 1, 5, 10.0, tmp_path, naive=None, against="http://127.0.0.1:9")
        with pytest.raises(StartRefused, match="not at http://127"):
            await Run(config, lambda _: None).go()
