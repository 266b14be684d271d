"""Page cursors of order lists: the last order seen, as an opaque word."""

import base64
from datetime import UTC, datetime
from uuid import UUID

from service_kit.http.problems import unprocessable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BYTES = 24


def encode(created_at: datetime, order_id: UUID) -> str:
    """Return the cursor that asks for what comes after this order."""
    since = created_at - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return base64.urlsafe_b64encode(micros.to_bytes(8) + order_id.bytes).decode()


def decode(cursor: str) -> tuple[datetime, UUID]:
    """Return the order that `cursor` stands for; a 422 problem if it is not one of ours."""
    try:
        packed = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        if len(packed) != _BYTES:
            raise ValueError
        micros = int.from_bytes(packed[:8])
        created_at = datetime.fromtimestamp(micros // 1_000_000, UTC)
        return created_at.replace(microsecond=micros % 1_000_000), UUID(bytes=packed[8:])
    except (ValueError, OverflowError, OSError):
        raise unprocessable("The cursor is not one that a page of orders gave you.") from None
