"""The one error that a person at the terminal gets to read."""


class StartRefused(Exception):
    """A refusal that says what happened, what became of the data, and what to do next."""

    def __init__(self, *, problem: str, kept: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.kept = kept
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  kept: {self.kept}\n  next: {self.remedy}"
