"""What a text searched for in a list is to Postgres: itself, and no pattern."""

import pytest

from service_kit.http.paging import contains


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("mug", "%mug%"),
        ("  blue mug ", "%blue mug%"),
        ("100%", r"%100\%%"),
        ("A_B", r"%A\_B%"),
        ("a\\b", r"%a\\b%"),
    ],
)
def test_a_text_is_searched_for_as_it_stands(text: str, pattern: str) -> None:
    assert contains(text) == pattern
