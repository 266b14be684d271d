"""Id of the request being served, readable from anywhere below the middleware."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="none")
