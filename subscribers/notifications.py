"""Subscriber that writes the message a shopper would get to its own table."""

from service_kit.postgres.pool import Connection
from subscribers.contracts import OrderEvent
from workflows.shopper_texts import SUBJECTS

_TABLE = """
CREATE TABLE IF NOT EXISTS notifications (
    event_seq  bigint PRIMARY KEY,
    order_id   uuid NOT NULL,
    customer   text NOT NULL,
    subject    text NOT NULL,
    body       text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
)
"""
_WRITE = """
INSERT INTO notifications (event_seq, order_id, customer, subject, body)
VALUES ($1, $2, $3, $4, $5)
"""


class Notifications:
    """Tells shoppers what they want to know and leaves the rest out."""

    async def prepare(self, connection: Connection) -> None:
        """Make the table."""
        await connection.execute(_TABLE)

    async def handle(self, event: OrderEvent, connection: Connection) -> None:
        """Write the message for `event`, if it is one that shoppers care about."""
        subject = SUBJECTS.get(event.type)
        if subject is not None:
            body = str(event.detail.get("message", subject))
            await connection.execute(
                _WRITE, event.seq, event.order_id, event.customer, subject, body
            )
