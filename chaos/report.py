"""Reports of a run: report.html for people, report.json and junit.xml for machines."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

from activities.contracts import TERMINAL
from chaos.baseline.outcomes import first_words, judge
from chaos.checker.responses import late_by_the_clock
from chaos.client.history import Entry
from chaos.run_result import RunResult
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.fault_matrix import ROWS
from chaos.scenarios.prediction import as_text, in_order

TEMPLATE = Path(__file__).parent / "report.html"
_DATA = "/*DATA*/null"


def write(result: RunResult) -> Path:
    """Write every file of the report into the run's folder and return the page's path."""
    out = result.config.out
    data = as_data(result)
    (out / "report.json").write_text(json.dumps(data, indent=1))
    page = out / "report.html"
    # A closing tag inside a string would end the script early.
    embedded = json.dumps(data).replace("</", "<\\/")
    page.write_text(TEMPLATE.read_text().replace(_DATA, embedded))
    (out / "junit.xml").write_text(junit(result))
    fired = in_order(each.identity for each in result.observations.fired)
    (out / "faults-fired.jsonl").write_text(as_text(fired))
    for replay in result.observations.replays:
        if replay.history is not None:
            (out / "histories").mkdir(exist_ok=True)
            (out / "histories" / f"{replay.workflow_id}.json").write_text(replay.history)
    return page


def as_data(result: RunResult) -> dict[str, Any]:
    """Return the report as plain values."""
    config, counts, agreement = result.config, result.counts, result.agreement
    return {
        "passed": result.passed,
        "scenario": config.scenario.name,
        "about": config.scenario.about,
        "seed": config.seed,
        "orders": config.orders,
        "rate": config.rate,
        "command": config.command,
        "started_at": _time(result.started_at),
        "seconds": round(result.seconds, 1),
        "settled_within_s": result.observations.settled_within_s,
        "lag_s": round(counts.worst_lag_s, 3),
        "late_by_the_clock": sorted(late_by_the_clock(result.observations), reverse=True),
        "stalled_s": round(sum(lost for *_, lost in result.observations.stalls), 2),
        "states": counts.states,
        "checks": [asdict(check) | {"holds": check.holds} for check in result.checks],
        "faults": [
            asdict(fault) | {"enough": fault.enough, "required": fault.required}
            for fault in result.faults
        ],
        "matrix": _matrix(result),
        "agreement": {**vars(agreement), "excused": dict(agreement.excused.most_common())},
        "pace": {**asdict(result.latency), "ratio": result.latency.ratio},
        "product": _product(result),
        "naive": _naive(result),
        "web_ui": result.web_ui,
        "events": [asdict(each) for each in result.disturbances],
        "affected": _affected(result),
    }


def _product(result: RunResult) -> dict[str, Any]:
    observations = result.observations
    mine = {order.order_id for order in observations.planned}
    moved: defaultdict[UUID, set[str]] = defaultdict(set)
    for movement in observations.movements:
        if movement.order_id is not None:
            moved[movement.order_id].add(movement.operation)
    tries = defaultdict(set, {order_id: {order_id} for order_id in mine})
    # The last that shoppers heard of an end, as an answer or by looking; who was told to wait and
    # left sees what the order says.
    ends = {
        entry.order_id: entry.state for entry in observations.history if entry.state in TERMINAL
    }
    told = []
    for row in observations.orders:
        if row.order_id in mine:
            order, state = str(row.order_id), ends.get(str(row.order_id), row.status)
            told.append(Entry(0.0, "ok", "place", 0, order, 1, state=state))
    judged = judge("", observations.planned, told, tries, moved, observations.fired)
    return {
        "right": judged.correct,
        "kinds": dict(judged.kinds),
        "first": dict(first_words(observations.history)),
        "fired": len(observations.fired),
    }


def _naive(result: RunResult) -> dict[str, Any] | None:
    naive = result.naive
    if naive is None:
        return None
    return {
        "policy": naive.policy,
        "right": naive.correct,
        "kinds": dict(naive.kinds),
        "examples": naive.examples,
        "first": dict(naive.first_words),
        "fired": naive.fired,
    }


def _matrix(result: RunResult) -> list[dict[str, Any]]:
    """Return every row of the fault matrix, who reaches it, and how often this run has."""
    reach: defaultdict[str, set[str]] = defaultdict(set)
    for scenario in SCENARIOS.values():
        for row in scenario.rows:
            reach[row].add(scenario.name)
    fired: Counter[str] = Counter()
    for fault in result.faults:
        fired[fault.row] += fault.fired
    return [
        {"row": text, "scenarios": sorted(reach[name]), "fired": fired[name]}
        for name, text in ROWS.items()
    ]


def _affected(result: RunResult) -> list[dict[str, Any]]:
    observations = result.observations
    numbers = {order.order_id: order for order in observations.planned}
    ended = {e.order_id: e.at.timestamp() for e in observations.events if e.type in TERMINAL}
    found = []
    for order_id, hits in observations.affected.items():
        order, row = numbers.get(order_id), observations.by_id.get(order_id)
        entries = observations.entries_by_order.get(str(order_id), ())
        first_sent = min((e.at for e in entries if e.operation == "place"), default=None)
        end = ended.get(order_id)
        found.append(
            {
                "order": str(order_id),
                "number": None if order is None else order.number,
                "faults": [
                    f"{hit.rule} ({hit.operation} {hit.attempt}) {_clock(hit.at)}" for hit in hits
                ],
                "told": [_told(entry) for entry in observations.answers_to(order_id)[:3]],
                "status": "never accepted" if row is None else row.status,
                "reason": None if row is None else row.reason,
                "settled_at": None if end is None else _clock(end),
                "took_s": None
                if end is None or first_sent is None
                else round(max(end - first_sent, 0.0), 2),
            }
        )
    return sorted(found, key=lambda each: each["number"] or 0)


def _told(entry: Entry) -> str:
    if entry.status is None:
        return f"{_clock(entry.at)} no answer"
    return f"{_clock(entry.at)} {entry.status} {entry.told or entry.state or ''}".strip()


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-5]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def junit(result: RunResult) -> str:
    """Return the checks as a JUnit test suite."""
    failures = sum(not check.holds for check in result.checks)
    suite = ET.Element(
        "testsuite",
        name=f"chaos {result.config.scenario.name} seed {result.config.seed}",
        tests=str(len(result.checks)),
        failures=str(failures),
        time=f"{result.seconds:.1f}",
    )
    for check in result.checks:
        case = ET.SubElement(
            suite, "testcase", classname="chaos", name=f"{check.name} {check.promise}"
        )
        if not check.holds:
            failure = ET.SubElement(case, "failure", message=f"{check.count} violations")
            failure.text = "\n".join([*check.violations, f"again: {result.config.command}"])
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)
