"""Timeouts and retry policies of the saga, checked against one another.

Limits nest, so that two clocks never race for the same decision:
lock < statement < request (inventory_api) < HTTP total < activity < answer budget < client.
"""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.common import RetryPolicy


class Deadlines(BaseSettings):
    """Seconds; environment variables with the prefix SAGA_."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", extra="ignore", frozen=True)

    # Above inventory_api's own request deadline (0.5 s), so that its quick "busy" is heard.
    fast_http_s: float = Field(0.60, gt=0)
    # The fast attempt runs inside a workflow task. It has to leave the shopper time for a second
    # attempt within the answer budget, and must stay far below the workflow task timeout.
    fast_step_s: float = Field(0.75, gt=0)
    # A warehouse that is slow but alive gets the time it needs once nobody waits for it.
    durable_http_s: float = Field(10.0, gt=0)
    durable_step_s: float = Field(12.0, gt=0)
    # Long enough for three fast attempts in one task, short enough that the orders of a worker
    # that was killed are picked up soon: this is how long Temporal waits for a dead worker.
    workflow_task_s: float = Field(5.0, gt=0, le=60)
    # A hold that was not had in a day will not be wanted any more: the order fails and is undone.
    reserve_within_s: float = Field(86_400.0, gt=0)
    first_pause_s: float = Field(0.3, gt=0)
    # Caps the wait after the warehouse is back; 15 s keeps a thousand waiting orders from
    # hammering it (and Temporal) more than some 70 times a second meanwhile.
    longest_pause_s: float = Field(15.0, gt=0)

    @model_validator(mode="after")
    def _limits_nest(self) -> Self:
        if not self.fast_http_s < self.fast_step_s:
            raise ValueError("SAGA_FAST_HTTP_S has to be below SAGA_FAST_STEP_S")
        if not self.durable_http_s < self.durable_step_s:
            raise ValueError("SAGA_DURABLE_HTTP_S has to be below SAGA_DURABLE_STEP_S")
        if not self.fast_http_s <= self.durable_http_s:
            raise ValueError("SAGA_FAST_HTTP_S has to be at most SAGA_DURABLE_HTTP_S")
        if not 3 * self.fast_step_s < self.workflow_task_s:
            raise ValueError("three times SAGA_FAST_STEP_S has to be below SAGA_WORKFLOW_TASK_S")
        if not self.durable_step_s < self.reserve_within_s:
            raise ValueError("SAGA_DURABLE_STEP_S has to be below SAGA_RESERVE_WITHIN_S")
        if not self.first_pause_s <= self.longest_pause_s:
            raise ValueError("SAGA_FIRST_PAUSE_S has to be at most SAGA_LONGEST_PAUSE_S")
        return self


# The relay passes a cancel on again every few seconds until it is known to have arrived.
CANCEL_COMES_AGAIN = timedelta(seconds=30)

# A failed fast attempt is not repeated in place: what follows it is durable and visible.
ONCE = RetryPolicy(maximum_attempts=1)


class Policies:
    """The timeouts and retries in force in this process, made of its deadlines.

    The worker applies its own before it polls; importing workflow code reads no environment.
    Timeouts are not part of what a replay compares, so they may differ between the processes that
    execute one workflow.
    """

    fast_step: timedelta
    durable_step: timedelta
    workflow_task: timedelta
    reserve_within: timedelta
    # For ever, as far as attempts go: an effect of unknown outcome is asked about until known.
    until_known: RetryPolicy

    def __init__(self, deadlines: Deadlines) -> None:
        self.apply(deadlines)

    def apply(self, deadlines: Deadlines) -> None:
        """Put `deadlines` in force."""
        self.fast_step = timedelta(seconds=deadlines.fast_step_s)
        self.durable_step = timedelta(seconds=deadlines.durable_step_s)
        self.workflow_task = timedelta(seconds=deadlines.workflow_task_s)
        self.reserve_within = timedelta(seconds=deadlines.reserve_within_s)
        self.until_known = RetryPolicy(
            initial_interval=timedelta(seconds=deadlines.first_pause_s),
            backoff_coefficient=2.0,
            maximum_interval=timedelta(seconds=deadlines.longest_pause_s),
        )


POLICIES = Policies(Deadlines.model_construct())  # the defaults, whatever the environment says
