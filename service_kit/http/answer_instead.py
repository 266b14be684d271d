"""A way out of a request past its route: another answer, or none."""

from starlette.responses import Response


class AnswerInstead(Exception):
    """Send `response` in place of what the route would answer; None cuts the connection."""

    def __init__(self, response: Response | None) -> None:
        super().__init__("answered another way")
        self.response = response
