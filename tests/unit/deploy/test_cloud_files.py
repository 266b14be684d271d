"""The files that make a machine at a provider: they agree with each other and with what is told."""

import re
import subprocess
from pathlib import Path
from textwrap import indent

import pytest

FOLDER = Path(__file__).parents[3] / "deploy" / "cloud"
CLOUD_INIT = (FOLDER / "cloud-init.yaml").read_text()
SCRIPTS = sorted((FOLDER / "machine").glob("*.sh"))
VALUES = set(re.findall(r"\$\{(\w+)\}", CLOUD_INIT))


def test_the_template_makes_the_machine_of_the_file_for_all_providers() -> None:
    begin = "            #cloud-config\n"
    template = (FOLDER / "cloudformation.yaml").read_text()
    assert begin + indent(CLOUD_INIT, " " * 12).partition(begin)[2] in template


def test_the_line_for_other_providers_puts_every_value_in() -> None:
    told = (FOLDER / "README.md").read_text()
    assert {"Site", "ReleaseTag", "SshFrom"} < VALUES
    assert set(re.findall(r"-e 's\|\$\{(\w+)\}\|", told)) == VALUES


def test_three_failed_starts_are_the_end() -> None:
    unit = (FOLDER / "machine" / "valerix.service").read_text()
    assert "StartLimitBurst=3\n" in unit
    # all three tries, each as long as it may take, fall into the time in which they are counted
    assert "StartLimitIntervalSec=2h\n" in unit
    assert "TimeoutStartSec=20min\n" in unit


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_can_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", script], check=True)


def test_only_443_is_open_to_everybody() -> None:
    rules = (FOLDER / "machine" / "firewall.nft").read_text()
    accepted = re.findall(r"^ +(.*tcp dport .*?) accept", rules, re.MULTILINE)
    assert accepted == ["tcp dport 443", "ip saddr $SSH_FROM tcp dport 22"]
