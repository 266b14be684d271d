"""What documents point to: files and headings that are there."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(PROJECT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md")
    for path in PROJECT.glob(pattern)
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
# Folders whose files are named; what a run or a build leaves behind need not be there.
ROOMS = {path.parent.name for path in PROJECT.glob("*/__init__.py")} | {"docs"}
QUOTED = re.compile(r"`([a-z_]+/[A-Za-z0-9_./-]*)`")


def headings(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as they are made from their words."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    file = PROJECT / document
    for path, anchor in LINK.findall(file.read_text()):
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{document} links to {path}"
        assert not anchor or anchor in headings(target), f"{document} links to {path}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    folder = (PROJECT / document).parent
    for name in QUOTED.findall((PROJECT / document).read_text()):
        if name.partition("/")[0] in ROOMS:
            assert (PROJECT / name).exists() or (folder / name).exists(), f"{document}: {name}"
