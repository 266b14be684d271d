"""OpenAPI descriptions of routes that read their own body and headers."""

from typing import Any

from pydantic import BaseModel


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    advice: str
    request_id: str
    order_id: str | None = None


def body_of(model: type[BaseModel], *, idempotency_key: bool = False) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads `model` from its body."""
    extra: dict[str, Any] = {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inline(model)}},
        }
    }
    if idempotency_key:
        extra["parameters"] = [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            }
        ]
    return extra


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer with these problems."""
    schema = ProblemBody.model_json_schema()
    return {
        status: {
            "description": "See the problem document",
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in sorted({408, 500, *statuses})
    }


def _inline(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's schema with its definitions in place of references to them."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rsplit("/", 1)[-1]])
            return {key: resolve(value) for key, value in node.items()}
        if isinstance(node, list):
            return [resolve(item) for item in node]
        return node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
