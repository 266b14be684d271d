"""docker-compose.yml and what it mounts: rules for every container, held by reading the files."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its types are a package of their own

from backup.restore_points.cluster import grants
from deploy import compose_env
from deploy.local.postgres.server import BACKUP, DATABASES

PROJECT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, each in SERVICES.items() if each["image"].startswith("valerix")}
# A database is one; so is who seals, and who hands over the date's one capsule.
SCALABLE = OURS - {"shop-db", "migrate", "backup", "restore", "legacy-service"}
ONE_SHOTS = {name for name, each in SERVICES.items() if each["restart"] != "unless-stopped"}
PROXY = "proxy"
CADDYFILE = (PROJECT / "deploy/images/proxy/Caddyfile").read_text()
DATABASE = PROJECT / "deploy/images/database"

VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def by_default(text: str) -> str:
    """Return what a text of the file is with nothing but the secrets in .env."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else f"<{found[1]}>", text)


def environment(service: str) -> dict[str, Any]:
    return SERVICES[service].get("environment") or {}


def port_of(service: str) -> str:
    """Return where a service of ours answers, by its own health check."""
    found = re.search(
        r"127\.0\.0\.1:(\d+)/readyz", " ".join(SERVICES[service]["healthcheck"]["test"])
    )
    assert found, service
    return found[1]


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_to_this_machine_only(service: str) -> None:
    for published in SERVICES[service].get("ports", []):
        assert by_default(published).startswith("127.0.0.1:"), published
        if service != PROXY:
            assert published.startswith("127.0.0.1:"), "not even by choice"


@pytest.mark.parametrize("service", sorted(SCALABLE))
def test_what_is_to_have_replicas_has_neither_a_port_nor_a_name_of_the_machine(
    service: str,
) -> None:
    assert not {"ports", "container_name", "hostname"} & SERVICES[service].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_takes_all_memory_or_fills_the_disk_with_its_log(service: str) -> None:
    assert re.fullmatch(r"\d+[mg]", SERVICES[service]["mem_limit"])
    options = SERVICES[service]["logging"]["options"]
    assert {"max-size", "max-file"} <= options.keys()


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - ONE_SHOTS))
def test_what_is_to_stay_is_asked_how_it_is(service: str) -> None:
    test = SERVICES[service]["healthcheck"]["test"]
    assert test[0] == "CMD"
    if "pg_isready" in test:
        assert test[2:4] == ["-h", "127.0.0.1"], "a server that is being made has a socket only"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_one_release(service: str) -> None:
    image, _, tag = SERVICES[service]["image"].partition(":")
    assert tag, f"{image} has no tag"
    assert tag == "${VALERIX_VERSION:-local}" if service in OURS else re.search(r"\d", tag)


def test_each_container_is_on_the_networks_that_it_needs_and_on_no_other() -> None:
    on = {network: set[str]() for network in COMPOSE["networks"]}
    for service, each in SERVICES.items():
        for network in each["networks"]:  # without any, it would be on one with everybody
            on[network].add(service)
    assert on["temporal"] & OURS == {"order-api", "worker", "backup"}
    assert on["edge"] == {PROXY, "ui", "order-api", "inventory-api"}
    assert not on["databases"] - OURS
    assert not on["databases"] & {"ui", "legacy-service"}
    assert on["temporal-database"] == {"temporal-db", "temporal-schema", "temporal"}
    assert [name for name, each in COMPOSE["networks"].items() if each.get("internal")] == [
        "databases",
        "temporal-database",
    ]


@pytest.mark.parametrize("service", sorted(OURS - {"shop-db", "restore"}))
def test_it_is_production_unless_somebody_says_otherwise(service: str) -> None:
    told = environment(service)
    assert by_default(told["ENVIRONMENT"]) == "production"
    assert by_default(told.get("FAULT_INJECTION", "false")) == "false"
    assert by_default(told.get("SEED", "")) == ""
    assert "--seed" not in SERVICES[service]["command"]


@pytest.mark.parametrize("service", sorted(OURS - {"shop-db"}))
def test_a_container_of_ours_can_do_no_more_than_it_has_to(service: str) -> None:
    each = SERVICES[service]
    assert each["read_only"] is True
    assert each["cap_drop"] == ["ALL"]
    assert each["security_opt"] == ["no-new-privileges:true"]


def test_whatever_has_to_be_in_env_is_written_by_our_command() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    required = {found[1] for found in VARIABLE.finditer(text) if found[2] == "?"}
    assert required == compose_env.missing("").keys()


def test_the_proxy_finds_each_service_where_it_is() -> None:
    found = dict(re.findall(r"import replicas ([a-z-]+) (\d+) ", CADDYFILE))
    assert found == {name: port_of(name) for name in ("ui", "order-api", "inventory-api")}
    published = {each.rpartition(":")[2] for each in SERVICES[PROXY]["ports"]}
    assert published == {*re.findall(r"^http://:(\d+) \{", CADDYFILE, re.MULTILINE), "8443"}
    assert "https_port 8443\n" in CADDYFILE


def test_the_proxy_sends_no_request_twice_and_holds_no_stream_back() -> None:
    said = re.sub(r"(?m)(^|\s)#.*$", "", CADDYFILE)
    assert said.count("reverse_proxy") == 1, "one way of passing on, for all"
    assert "lb_retry_match method NONE\n" in said
    assert "keepalive off\n" in said
    assert not {"flush_interval", "response_buffers", "fail_duration"} & set(said.split())
    assert re.search(r"import replicas ui \d+ \w+ cookie ", said)


def test_prometheus_asks_all_replicas_of_whatever_has_metrics() -> None:
    folder = PROJECT / "deploy/monitoring/prometheus"
    (job,) = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    asked = {name: str(each["port"]) for each in job["dns_sd_configs"] for name in each["names"]}
    assert asked == {name: port_of(name) for name in (*SCALABLE, "backup")}
    assert all(each["type"] == "A" for each in job["dns_sd_configs"])
    assert all("services" in SERVICES[name]["networks"] for name in (*asked, "prometheus"))
    rules = "".join(file.read_text() for file in folder.glob("*rules.yml"))
    missed = {
        name for name in asked if f'absent(up{{service="{name.replace("-", "_")}"}})' not in rules
    }
    assert not missed, "nobody is told when the last replica of these is gone"


def test_the_database_keeps_its_log_and_the_backup_process_may_have_it() -> None:
    said = (DATABASE / "shop.sh").read_text()
    for statement in (*grants(BACKUP, DATABASES), f"ALTER ROLE {BACKUP} REPLICATION"):
        assert f"{statement};\n" in said
    assert f"host replication {BACKUP} all" in said
    settings = " ".join(SERVICES["shop-db"]["command"])
    for each in ("archive_mode=on", "archive_timeout=30s", "summarize_wal=on"):
        assert f"-c{each}" in settings
    assert "archive_command=sh /usr/local/share/valerix/archive.sh %p %f" in settings
    trail = [each for each in SERVICES["shop-db"]["volumes"] if each.endswith(":/trail")]
    for service in ("backup", "restore"):
        assert trail[0] in SERVICES[service]["volumes"]
        assert any(each.endswith(":/trail/claims") for each in SERVICES[service]["volumes"])


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_is_there(service: str) -> None:
    for mounted in SERVICES[service].get("volumes", []):
        source = by_default(mounted).partition(":")[0]
        if source.startswith("."):
            assert (PROJECT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"], source
