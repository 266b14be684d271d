"""Presets: fault rules to be put in force by hand, with words that say what each does."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from chaos.injection.rules import GREMLIN, FaultRule

Owner = Literal["inventory", "orders"]


class Preset(BaseModel):
    """A rule ready to be put in force, and what people should know about it."""

    model_config = ConfigDict(frozen=True)

    title: str
    description: str
    rule: FaultRule


def _fifth(name: str, point: str, fault: str, operation: str, seed: int) -> FaultRule:
    return FaultRule.model_validate(
        {
            "name": name,
            "point": point,
            "fault": fault,
            "share": 0.2,
            "operations": (operation,),
            "seed": seed,
        }
    )


INVENTORY: tuple[Preset, ...] = (
    Preset(
        title="Gremlin: the warehouse answers 5 s late",
        description="A fifth of the orders: the goods are held, the answer takes its time. "
        "A second try gets it, within the two seconds that a shopper waits.",
        rule=GREMLIN,
    ),
    Preset(
        title="Stubborn gremlin: the second try is late, too",
        description="Every order: no answer in time. Shoppers hear that we have their order, and "
        "wait a little. Place some, and the alert above turns red.",
        rule=FaultRule(
            name="gremlin-stubborn",
            point="inventory.before_response",
            fault="delay",
            operations=("reserve",),
            attempts=(1, 2),
            delay_s=5.0,
            seed=21,
        ),
    ),
    Preset(
        title="Warehouse dies after its commit",
        description="The stock has moved, the process is killed, nobody gets the answer.",
        rule=_fifth("crash-after-commit", "inventory.after_commit", "crash", "commit", 7),
    ),
    Preset(
        title="Warehouse dies before its commit",
        description="Killed with the transaction open: nothing has moved.",
        rule=_fifth("crash-before-commit", "inventory.before_commit", "crash", "commit", 6),
    ),
    Preset(
        title="Error 500 after success",
        description="The stock has moved, and the answer says that it failed.",
        rule=_fifth("error-after-commit", "inventory.after_commit", "error", "reserve", 5),
    ),
    Preset(
        title="Answer lost on the way",
        description="The connection is cut instead of the answer.",
        rule=_fifth("answer-lost", "inventory.before_response", "drop", "reserve", 8),
    ),
    Preset(
        title="Answer garbled",
        description="Cut JSON, a wrong shape, or the number of another order.",
        rule=_fifth("answer-garbled", "inventory.before_response", "corrupt", "commit", 9),
    ),
)
ORDERS: tuple[Preset, ...] = (
    Preset(
        title="Worker dies between answer and report",
        description="The warehouse has answered, and whoever asked is gone.",
        rule=_fifth("worker-crash", "worker.after_answer", "crash", "commit", 11),
    ),
    Preset(
        title="Order desk dies after storing the order",
        description="Durable, but the shopper hears nothing and nobody has begun to work on it.",
        rule=_fifth("desk-crash", "order.after_commit", "crash", "accept", 12),
    ),
)


def presets_of(owner: Owner) -> Sequence[Preset]:
    """Return what can be switched on in the process that attacks `owner`'s database."""
    return INVENTORY if owner == "inventory" else ORDERS
