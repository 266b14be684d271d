"""The id of the request being served, readable from anywhere below the edge."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="none")
