"""The page of invariants names every check of a run, and nothing that is not there."""

import re
from collections import Counter
from pathlib import Path

from chaos.checker.agreement import Agreement
from chaos.checker.backup_findings import BackupFindings
from chaos.checker.backups import backup_checks
from chaos.checker.fault_coverage import planned_faults_fired
from chaos.checker.invariants import order_checks, stock_checks
from chaos.checker.latency import compare_latencies
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.workload import Crowd, plan
from tests.support.settled_facts import settled_facts

PROJECT = Path(__file__).parents[3]
PAGE = (PROJECT / "docs" / "invariants.md").read_text()
IN_A_RUN = {"I4a"}  # judged by the run itself: whether its stages came back


def test_every_check_has_its_row_on_the_page() -> None:
    observations = settled_facts(plan(1, 3, 15.0, Crowd()))
    blocks = {order.number: "calm" for order in observations.planned}
    checks = [
        *stock_checks(observations),
        *order_checks(observations),
        *backup_checks(BackupFindings(), observations),
        *compare_latencies(observations, blocks, [], enforced=True).checks(),
        planned_faults_fired([], observations),
        Agreement().as_check(),
    ]
    rows = Counter(re.findall(r"^\| (I\w+) \|", PAGE, re.MULTILINE))
    assert rows == Counter({check.name for check in checks} | IN_A_RUN)


def test_what_the_page_names_is_there() -> None:
    files = re.findall(r"`((?:chaos|tests)/[^`]+)`", PAGE)
    assert len(files) > 40
    assert not [file for file in files if not (PROJECT / file).exists()]
    assert set(re.findall(r"scenario `([^`]+)`", PAGE)) <= SCENARIOS.keys()


def test_the_mutants_on_the_page_are_those_that_are_tried() -> None:
    tried = (PROJECT / "tests" / "e2e" / "test_the_checker_catches_mutants.py").read_text()
    for row in re.findall(r"^\| (I\w+) \|.*mutants? (`.*)\|$", PAGE, re.MULTILINE):
        for mutant in re.findall(r"`([^`]+)`", row[1]):
            assert f'("{mutant}", "{row[0]}")' in tried
