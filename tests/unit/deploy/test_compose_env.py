"""`valerix env`: what it writes for docker compose, and what it never touches."""

import stat
from pathlib import Path

import pytest

from deploy import compose_env
from deploy.migrate import MigrateSettings
from service_kit.http.tokens import TokenVerifier

OLDER = (
    "TOKEN_KEY=an-older-key-that-is-long-enough-for-hs256\nORDERS_PASSWORD=kept\n"
    "INVENTORY_PASSWORD=kept-too\nTEMPORAL_DB_PASSWORD=and-this\nINVENTORY_TOKEN=shown\n"
    "# mine\nUI_PORT=18080"
)


def values(content: str) -> dict[str, str]:
    lines = [line for line in content.splitlines() if "=" in line]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_new_file_has_secrets_of_its_own_and_is_for_its_owner_only() -> None:
    compose_env.main()
    written = Path(".env")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    found = values(written.read_text())
    assert len(set(found.values())) == len(found), "no secret is used twice"
    for token, subject in (("INVENTORY_TOKEN", "worker"), ("BACKUP_LEGACY_TOKEN", "backup")):
        caller, _ = TokenVerifier(found["TOKEN_KEY"]).verify(found[token])
        assert (caller.subject, caller.role) == (subject, "service")


def test_an_older_file_keeps_every_line_and_gets_what_is_new(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".env").write_text(OLDER)
    compose_env.main()
    content = Path(".env").read_text()
    assert content.startswith(f"{OLDER}\n")
    new = values(content).keys() - values(OLDER).keys()
    assert new == {"SHOP_DB_PASSWORD", "BACKUP_PASSWORD", "BACKUP_LEGACY_TOKEN"}
    assert "SHOP_DB_PASSWORD" in capsys.readouterr().out
    key = values(OLDER)["TOKEN_KEY"]
    TokenVerifier(key).verify(values(content)["BACKUP_LEGACY_TOKEN"])


def test_a_file_with_all_in_it_is_left_as_it_is() -> None:
    compose_env.main()
    before = Path(".env").read_text()
    compose_env.main()
    assert Path(".env").read_text() == before


@pytest.mark.parametrize(
    ("environment", "seed", "wanted"),
    [
        ("", "", False),
        ("production", "", False),
        ("production", "true", True),
        ("local", "", True),
        ("local", "false", False),
    ],
)
def test_a_demonstration_shop_is_made_only_where_somebody_asks_for_it(
    environment: str, seed: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_DATABASE_URL", "postgresql://orders@somewhere/orders")
    monkeypatch.setenv("INVENTORY_DATABASE_URL", "postgresql://inventory@somewhere/inventory")
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("SEED", seed)
    assert MigrateSettings().wants_seed() is wanted
