"""Settings that are missing, weak or contradict each other: no start, a clear word, no secrets."""

from typing import Any

import pytest
from pydantic_settings import BaseSettings

from inventory_api.settings import InventorySettings
from order_api.settings import OrderSettings
from service_kit.process.settings import load
from worker.settings import WorkerSettings
from workflows.policies import Deadlines

KEY = "k" * 32
SHORT_KEY = "short-but-secret"
GOOD: dict[Any, dict[str, str]] = {
    InventorySettings: {"TOKEN_KEY": KEY, "INVENTORY_DATABASE_URL": "postgresql://u:s3cret@h/d"},
    OrderSettings: {"TOKEN_KEY": KEY, "ORDERS_DATABASE_URL": "postgresql://u:s3cret@h/d"},
    WorkerSettings: {
        "TOKEN_KEY": KEY,
        "ORDERS_DATABASE_URL": "postgresql://u:s3cret@h/d",
        "INVENTORY_TOKEN": "t0ken",
    },
    Deadlines: {},
}
SERVICES = [InventorySettings, OrderSettings, WorkerSettings]


def started(
    patch: pytest.MonkeyPatch, settings: type[BaseSettings], **changes: str | None
) -> BaseSettings:
    for name, value in {**GOOD[settings], **changes}.items():
        if value is None:
            patch.delenv(name, raising=False)
        else:
            patch.setenv(name, value)
    return load(settings)


def refusal(
    patch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[BaseSettings],
    **changes: str | None,
) -> str:
    with pytest.raises(SystemExit) as ended:
        started(patch, settings, **changes)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    for secret in (KEY, SHORT_KEY, "s3cret", "t0ken"):
        assert secret not in text
    assert "refusing to start, nothing was changed" in text
    return text


@pytest.mark.parametrize("settings", GOOD)
def test_good_settings_start(monkeypatch: pytest.MonkeyPatch, settings: type[BaseSettings]) -> None:
    assert "s3cret" not in repr(started(monkeypatch, settings))


@pytest.mark.parametrize(
    ("settings", "name"), [(settings, name) for settings in SERVICES for name in GOOD[settings]]
)
def test_a_missing_setting_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[BaseSettings],
    name: str,
) -> None:
    assert f"{name}: Field required" in refusal(monkeypatch, capsys, settings, **{name: None})


@pytest.mark.parametrize("settings", SERVICES)
def test_faults_are_refused_in_production(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[BaseSettings],
) -> None:
    text = refusal(monkeypatch, capsys, settings, ENVIRONMENT="production", FAULT_INJECTION="true")
    assert "FAULT_INJECTION=true is refused when ENVIRONMENT=production" in text


@pytest.mark.parametrize("settings", SERVICES)
def test_a_short_key_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[BaseSettings],
) -> None:
    text = refusal(monkeypatch, capsys, settings, TOKEN_KEY=SHORT_KEY)
    assert "TOKEN_KEY: needs at least 32 bytes" in text


@pytest.mark.parametrize(
    ("settings", "changes", "named"),
    [
        (InventorySettings, {"INVENTORY_PORT": "0"}, "INVENTORY_PORT"),
        (InventorySettings, {"INVENTORY_PORT": "65536"}, "INVENTORY_PORT"),
        (InventorySettings, {"INVENTORY_PORT": "eighty"}, "INVENTORY_PORT"),
        (InventorySettings, {"INVENTORY_POOL_SIZE": "-1"}, "INVENTORY_POOL_SIZE"),
        (InventorySettings, {"INVENTORY_GROUP_WRITERS": "4"}, "INVENTORY_POOL_SIZE"),
        (InventorySettings, {"INVENTORY_LOCK_TIMEOUT_S": "-1"}, "INVENTORY_LOCK_TIMEOUT_S"),
        (InventorySettings, {"INVENTORY_LOCK_TIMEOUT_S": "nan"}, "INVENTORY_LOCK_TIMEOUT_S"),
        # would round to 0 ms, and 0 switches Postgres' limit off
        (InventorySettings, {"INVENTORY_LOCK_TIMEOUT_S": "0.0001"}, "INVENTORY_LOCK_TIMEOUT_S"),
        (InventorySettings, {"INVENTORY_LOCK_TIMEOUT_S": "0.4"}, "INVENTORY_LOCK_TIMEOUT_S"),
        (InventorySettings, {"INVENTORY_REQUEST_DEADLINE_S": "0.3"}, "INVENTORY_REQUEST_DEADLINE"),
        (InventorySettings, {"INVENTORY_REQUEST_DEADLINE_S": "inf"}, "INVENTORY_REQUEST_DEADLINE"),
        (OrderSettings, {"ORDER_ANSWER_BUDGET_S": "-1"}, "ORDER_ANSWER_BUDGET_S"),
        (OrderSettings, {"ORDER_ANSWER_BUDGET_S": "0.9"}, "ORDER_ANSWER_BUDGET_S"),
        (OrderSettings, {"ORDER_ANSWER_BUDGET_S": "6"}, "ORDER_RELAY_AFTER_S"),
        (OrderSettings, {"ORDER_ACCEPT_DEADLINE_S": "2.5"}, "ORDER_ACCEPT_DEADLINE_S"),
        (OrderSettings, {"ORDER_ACCEPT_DEADLINE_S": "0.001"}, "ORDER_ACCEPT_DEADLINE_S"),
        (OrderSettings, {"ORDER_RATE_LIMIT_PER_MINUTE": "0"}, "ORDER_RATE_LIMIT_PER_MINUTE"),
        (OrderSettings, {"ORDER_WAIT_SLOTS": "many"}, "ORDER_WAIT_SLOTS"),
        (WorkerSettings, {"WORKER_POOL_SIZE": "1"}, "WORKER_POOL_SIZE"),
        (WorkerSettings, {"ENVIRONMENT": "staging"}, "ENVIRONMENT"),
        (WorkerSettings, {"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        (Deadlines, {"SAGA_FAST_HTTP_S": "0.8"}, "SAGA_FAST_HTTP_S"),
        (Deadlines, {"SAGA_FAST_STEP_S": "0.5"}, "SAGA_FAST_STEP_S"),
        (Deadlines, {"SAGA_DURABLE_STEP_S": "10"}, "SAGA_DURABLE_STEP_S"),
        (Deadlines, {"SAGA_DURABLE_HTTP_S": "0.5"}, "SAGA_DURABLE_HTTP_S"),
        (Deadlines, {"SAGA_WORKFLOW_TASK_S": "2"}, "SAGA_WORKFLOW_TASK_S"),
        (Deadlines, {"SAGA_WORKFLOW_TASK_S": "61"}, "SAGA_WORKFLOW_TASK_S"),
        (Deadlines, {"SAGA_FIRST_PAUSE_S": "16"}, "SAGA_FIRST_PAUSE_S"),
        (Deadlines, {"SAGA_RESERVE_WITHIN_S": "5"}, "SAGA_RESERVE_WITHIN_S"),
        (Deadlines, {"SAGA_FAST_HTTP_S": "-0.5"}, "SAGA_FAST_HTTP_S"),
        (OrderSettings, {"SAGA_FAST_STEP_S": "0.5"}, "SAGA_FAST_STEP_S"),
        (
            OrderSettings,
            {"SAGA_FAST_STEP_S": "1.5", "ORDER_ANSWER_BUDGET_S": "1.5"},
            "SAGA_FAST_STEP_S has to be below ORDER_ANSWER_BUDGET_S",
        ),
        (OrderSettings, {"SAGA_WORKFLOW_TASK_S": "61"}, "  SAGA_WORKFLOW_TASK_S: "),
        (WorkerSettings, {"SAGA_FAST_HTTP_S": "0.8"}, "SAGA_FAST_HTTP_S"),
        (WorkerSettings, {"SAGA_WORKFLOW_TASK_S": "61"}, "  SAGA_WORKFLOW_TASK_S: "),
    ],
)
def test_what_cannot_be_meant_is_named_and_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[BaseSettings],
    changes: dict[str, str],
    named: str,
) -> None:
    assert named in refusal(monkeypatch, capsys, settings, **changes)


def test_a_budget_of_nothing_means_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    found = started(monkeypatch, OrderSettings, ORDER_ANSWER_BUDGET_S="0")
    assert isinstance(found, OrderSettings)
    assert found.answer_budget_s == 0
