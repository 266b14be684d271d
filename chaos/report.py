"""Writes down a run: report.html for people, report.json and junit.xml for machines."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

from activities.contracts import TERMINAL
from chaos.baseline.stack import first_words, judge
from chaos.checker.orders import late_by_the_clock
from chaos.checker.prediction import as_text
from chaos.client.history import Entry
from chaos.run_result import Outcome
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.fault_matrix import ROWS

TEMPLATE = Path(__file__).parent / "report.html"
_DATA = "/*DATA*/null"


def write(outcome: Outcome) -> Path:
    """Write every file of the report into the run's folder and return the page's path."""
    out = outcome.options.out
    data = as_data(outcome)
    (out / "report.json").write_text(json.dumps(data, indent=1))
    page = out / "report.html"
    # A closing tag inside a string would end the script early.
    embedded = json.dumps(data).replace("</", "<\\/")
    page.write_text(TEMPLATE.read_text().replace(_DATA, embedded))
    (out / "junit.xml").write_text(junit(outcome))
    (out / "faults-fired.jsonl").write_text(
        as_text(
            sorted(
                (fired.identity for fired in outcome.facts.fired),
                key=lambda i: (i[0], str(i[1]), i[2], i[3]),
            )
        )
    )
    for replay in outcome.facts.replays:
        if replay.history is not None:
            (out / "histories").mkdir(exist_ok=True)
            (out / "histories" / f"{replay.workflow_id}.json").write_text(replay.history)
    return page


def as_data(outcome: Outcome) -> dict[str, Any]:
    """Return the report as plain values."""
    options, tally, agreement = outcome.options, outcome.tally, outcome.agreement
    return {
        "passed": outcome.passed,
        "scenario": options.scenario.name,
        "about": options.scenario.about,
        "seed": options.seed,
        "orders": options.orders,
        "rate": options.rate,
        "command": options.command,
        "started_at": _time(outcome.started_at),
        "seconds": round(outcome.seconds, 1),
        "settled_within_s": outcome.facts.settled_within_s,
        "lag_s": round(tally.worst_lag_s, 3),
        "late_by_the_clock": sorted(late_by_the_clock(outcome.facts), reverse=True),
        "stalled_s": round(sum(lost for *_, lost in outcome.facts.stalls), 2),
        "states": tally.states,
        "checks": [asdict(check) | {"holds": check.holds} for check in outcome.checks],
        "faults": [
            asdict(fault) | {"enough": fault.enough, "required": fault.required}
            for fault in outcome.faults
        ],
        "matrix": _matrix(outcome),
        "agreement": {
            "predicted": agreement.predicted,
            "fired": agreement.fired,
            "agreed": agreement.agreed,
            "unpredicted": agreement.unpredicted,
            "unexplained": agreement.unexplained,
            "excused": dict(agreement.excused.most_common()),
        },
        "pace": {
            **{
                name: None if part is None else asdict(part)
                for name, part in (
                    ("calm", outcome.pace.calm),
                    ("unaffected", outcome.pace.unaffected),
                    ("affected", outcome.pace.affected),
                )
            },
            "ratio": outcome.pace.ratio,
            "enforced": outcome.pace.enforced,
        },
        "product": _product(outcome),
        "naive": _naive(outcome),
        "web_ui": outcome.web_ui,
        "events": [asdict(each) for each in outcome.disturbances],
        "affected": _affected(outcome),
    }


def _product(outcome: Outcome) -> dict[str, Any]:
    facts = outcome.facts
    mine = {order.order_id for order in facts.planned}
    moved: defaultdict[UUID, set[str]] = defaultdict(set)
    for movement in facts.movements:
        if movement.order_id is not None:
            moved[movement.order_id].add(movement.operation)
    tries = defaultdict(set, {order_id: {order_id} for order_id in mine})
    # The last that shoppers heard of an end, as an answer or by looking; who was told to wait and
    # left sees what the order says.
    ends = {entry.order_id: entry.state for entry in facts.history if entry.state in TERMINAL}
    told = [
        Entry(
            0.0,
            "ok",
            "place",
            0,
            str(row.order_id),
            1,
            state=ends.get(str(row.order_id), row.status),
        )
        for row in facts.orders
        if row.order_id in mine
    ]
    judged = judge("", facts.planned, told, tries, moved, facts.fired)
    return {
        "right": judged.correct,
        "kinds": dict(judged.kinds),
        "first": dict(first_words(facts.history)),
        "fired": len(facts.fired),
    }


def _naive(outcome: Outcome) -> dict[str, Any] | None:
    naive = outcome.naive
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


def _matrix(outcome: Outcome) -> list[dict[str, Any]]:
    """Return every row of the fault matrix, who reaches it, and how often this run has."""
    reach: defaultdict[str, set[str]] = defaultdict(set)
    for scenario in SCENARIOS.values():
        for row in scenario.rows:
            reach[row].add(scenario.name)
    fired: Counter[str] = Counter()
    for fault in outcome.faults:
        fired[fault.row] += fault.fired
    return [
        {"row": text, "scenarios": sorted(reach[name]), "fired": fired[name]}
        for name, text in ROWS.items()
    ]


def _affected(outcome: Outcome) -> list[dict[str, Any]]:
    facts = outcome.facts
    numbers = {order.order_id: order for order in facts.planned}
    ended = {e.order_id: e.at.timestamp() for e in facts.events if e.type in TERMINAL}
    found = []
    for order_id, hits in facts.affected.items():
        order, row = numbers.get(order_id), facts.by_id.get(order_id)
        answers = [
            entry
            for entry in facts.story.get(str(order_id), ())
            if entry.operation == "place" and entry.kind != "invoke"
        ]
        first_sent = min(
            (e.at for e in facts.story.get(str(order_id), ()) if e.operation == "place"),
            default=None,
        )
        end = ended.get(order_id)
        found.append(
            {
                "order": str(order_id),
                "number": None if order is None else order.number,
                "faults": [
                    f"{hit.rule} ({hit.operation} {hit.attempt}) {_clock(hit.at)}" for hit in hits
                ],
                "told": [_told(entry) for entry in answers[:3]],
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


def junit(outcome: Outcome) -> str:
    """Return the checks as a JUnit test suite."""
    failures = sum(not check.holds for check in outcome.checks)
    suite = ET.Element(
        "testsuite",
        name=f"chaos {outcome.options.scenario.name} seed {outcome.options.seed}",
        tests=str(len(outcome.checks)),
        failures=str(failures),
        time=f"{outcome.seconds:.1f}",
    )
    for check in outcome.checks:
        case = ET.SubElement(
            suite, "testcase", classname="chaos", name=f"{check.name} {check.promise}"
        )
        if not check.holds:
            failure = ET.SubElement(case, "failure", message=f"{check.count} violations")
            failure.text = "\n".join([*check.violations, f"again: {outcome.options.command}"])
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)
