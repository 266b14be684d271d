"""Settings of order_api (`ORDER_*`), with limits checked against each other."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from service_kit.process.settings import ServiceSettings
from workflows.policies import Deadlines


class OrderSettings(ServiceSettings):
    """Environment variables with the prefix ORDER_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="ORDER_")

    database_url: SecretStr = Field(validation_alias="ORDERS_DATABASE_URL")
    inventory_url: str = Field("http://127.0.0.1:8102", validation_alias="INVENTORY_URL")
    host: str = "127.0.0.1"
    port: int = Field(8101, ge=1, le=65535)
    saga: Deadlines = Field(default_factory=Deadlines)
    pool_size: int = Field(12, ge=4, le=200)

    # The promise to the shopper: how long POST /v1/orders takes at the most. 0 switches waiting
    # off: every order is answered 202 as soon as it is durable.
    answer_budget_s: float = Field(2.0, ge=0, le=30)
    # Making an order durable has to leave time for an answer.
    accept_deadline_s: float = Field(1.0, ge=0.05, le=30)
    # So many requests may wait for Temporal at a time; the others are answered 202 at once.
    wait_slots: int = Field(100, ge=1)
    # If a request that was to start the workflow has not by then, the relay does.
    relay_after_s: float = Field(5.0, gt=0, le=20)
    rate_limit_per_minute: int = Field(60_000, ge=1)
    # Timelines followed live at a time: each is a socket and some 50 KiB.
    streams: int = Field(2_000, ge=1)
    streams_per_customer: int = Field(50, ge=1)

    @model_validator(mode="after")
    def _limits_nest(self) -> Self:
        if self.answer_budget_s == 0:
            return self
        if not self.accept_deadline_s < self.answer_budget_s:
            raise ValueError("ORDER_ACCEPT_DEADLINE_S has to be below ORDER_ANSWER_BUDGET_S")
        if not self.saga.fast_step_s < self.answer_budget_s:
            raise ValueError("SAGA_FAST_STEP_S has to be below ORDER_ANSWER_BUDGET_S")
        if not self.answer_budget_s < self.relay_after_s:
            raise ValueError("ORDER_ANSWER_BUDGET_S has to be below ORDER_RELAY_AFTER_S")
        return self
