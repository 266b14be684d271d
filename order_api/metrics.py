"""Prometheus metrics of order_api."""

from prometheus_client import Counter, Gauge

from activities.contracts import OPEN, TERMINAL
from order_api.contracts import OperationsSummary
from order_api.response_time import ResponseTimes

ACCEPTED = Counter("orders_accepted", "Orders made durable, and repeats of known ones.", ["known"])

# The very numbers behind GET /v1/ops/response-time. Sum and count and not the average, so that
# replicas can be added up: the average of averages is no average.
_WINDOW_SECONDS = Gauge(
    "order_response_window_seconds",
    "Answer times of orders tried in the rolling window, and the ages of hung ones, summed.",
)
_WINDOW_REQUESTS = Gauge("order_response_window_requests", "How many orders that sum is made of.")
_WINDOW_ATTEMPTS = Gauge(
    "order_response_window_attempts",
    "Orders tried in the rolling window, and those that failed before they could be.",
)
_WINDOW_FAILED = Gauge(
    "order_response_window_failed", "How many of the attempts ended in a 5xx or without an answer."
)
_WINDOW_REFUSED = Gauge(
    "order_response_window_refused",
    "Order requests of the rolling window that were refused, or repeated an order long ended.",
)
_BY_STATUS = Gauge("orders_recent", "Orders placed in the last five minutes.", ["status"])
_UNFINISHED = Gauge("orders_unfinished", "Orders without an end yet.")
_WAITING = Gauge("orders_waiting", "Unfinished orders that wait for the warehouse.")
_OLDEST = Gauge("orders_oldest_unfinished_seconds", "Age of the oldest unfinished order.")
_AHEAD = Gauge("orders_ahead_of_clock", "Open orders dated later than the database's clock shows.")
OPEN_STREAMS = Gauge("order_event_streams", "Timelines of orders that are followed live.")
_BACKLOG = Gauge("orders_relay_backlog", "Orders due for the relay.")


def show_window(times: ResponseTimes) -> None:
    """Have the window's sum and counts read whenever somebody scrapes."""
    _WINDOW_SECONDS.set_function(lambda: times.sum_and_count()[0])
    _WINDOW_REQUESTS.set_function(lambda: times.counts().tried)
    _WINDOW_ATTEMPTS.set_function(lambda: times.counts().attempts)
    _WINDOW_FAILED.set_function(lambda: times.counts().failed)
    _WINDOW_REFUSED.set_function(lambda: times.counts().refused)


def show_summary(summary: OperationsSummary) -> None:
    """Show the figures last read from the database."""
    _BY_STATUS.clear()  # a status of a later release is shown while there are orders in it
    for status in OPEN | TERMINAL | summary.by_status.keys():
        _BY_STATUS.labels(status).set(summary.by_status.get(status, 0))
    _UNFINISHED.set(summary.unfinished)
    _WAITING.set(summary.waiting)
    _OLDEST.set(summary.oldest_unfinished_s)
    _AHEAD.set(summary.ahead_of_clock)
    _BACKLOG.set(summary.relay_backlog)
