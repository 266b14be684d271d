"""Failure types of an order's steps, and for each whether a retry can help."""

from datetime import timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

OUT_OF_STOCK = "OutOfStock"
ALREADY_RELEASED = "AlreadyReleased"
ALREADY_COMMITTED = "AlreadyCommitted"
UNWORKABLE = "Unworkable"
UNKNOWN_OUTCOME = "UnknownOutcome"
TOO_LONG = "TooLong"

# Asking again would bring the same answer.
FINAL: frozenset[str] = frozenset({OUT_OF_STOCK, ALREADY_RELEASED, ALREADY_COMMITTED, UNWORKABLE})

# The longest pause that another service may impose on an order by way of Retry-After.
MAX_IMPOSED_DELAY_S = 30.0


def refusal(kind: str, text: str) -> ApplicationError:
    """Return a definite, expected no: final, and nobody's alarm."""
    return ApplicationError(
        text, type=kind, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )


def unworkable(text: str) -> ApplicationError:
    """Return a definite no that should never happen: final, the order fails visibly."""
    return ApplicationError(text, type=UNWORKABLE, non_retryable=True)


def unknown_outcome(text: str, retry_after_s: float | None = None) -> ApplicationError:
    """Return "it may or may not have happened": asking again under the same key finds out."""
    pause = None
    if retry_after_s is not None and retry_after_s > 0:
        pause = timedelta(seconds=min(retry_after_s, MAX_IMPOSED_DELAY_S))
    return ApplicationError(text, type=UNKNOWN_OUTCOME, next_retry_delay=pause)
