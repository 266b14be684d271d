"""What the backup process is told, and what it refuses to be told."""

from pathlib import Path

import pytest

from backup.settings import BackupSettings
from backup.stores.folder import FolderStore
from backup.stores.s3 import S3Store
from backup.stores.settings import stores_by_name
from backup.trail_folder import TrailFolder
from deploy.cli.restore_source import store_settings
from deploy.local.errors import StartRefused
from service_kit.process.settings import load

NEEDED = {
    "TOKEN_KEY": "k" * 32,
    "BACKUP_HOME": "/trail",
    "BACKUP_DATABASE_URL": "postgresql://backup:secret@127.0.0.1/backup",
    "BACKUP_ORDERS_DATABASE_URL": "postgresql://backup:secret@127.0.0.1/orders",
    "BACKUP_INVENTORY_DATABASE_URL": "postgresql://backup:secret@127.0.0.1/inventory",
    "BACKUP_POSTGRES_PROGRAMS": "/usr/lib/postgresql/18/bin",
    "BACKUP_LEGACY_TOKEN": "token",
    "BACKUP_LEGACY_CLAIMS_FOLDER": "/trail/claims",
}


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_stores_of_the_settings_are_beside_the_one_that_is_always_there(
    told: pytest.MonkeyPatch,
) -> None:
    told.setenv("BACKUP_FOLDER_STORES", '{"nas": "/mnt/nas"}')
    told.setenv("BACKUP_S3_STORES", '{"far": {"bucket": "shop", "endpoint": "http://[::1]:9"}}')
    settings = load(BackupSettings)
    stores = stores_by_name(settings, TrailFolder(settings.home))
    assert {name: type(store) for name, store in stores.items()} == {
        "copies": FolderStore,
        "nas": FolderStore,
        "far": S3Store,
    }
    assert set(settings.databases()) == {"orders", "inventory", "backup"}


@pytest.mark.parametrize(
    ("folders", "buckets", "said"),
    [
        ('{"copies": "/mnt/nas"}', "{}", "the name of a store is taken: copies"),
        ('{"archive": "/mnt/nas"}', "{}", "the name of a store is taken: archive"),
        ('{"far": "/mnt/nas"}', '{"far": {"bucket": "shop"}}', "the name of a store is taken: far"),
        ('{"near": "/trail/capsules/more"}', "{}", "is in the folder of the trail"),
        ('{"near": "/mnt/../trail"}', "{}", "is in the folder of the trail"),
    ],
)
def test_a_store_that_would_be_no_further_copy_is_refused(
    told: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folders: str,
    buckets: str,
    said: str,
) -> None:
    told.setenv("BACKUP_FOLDER_STORES", folders)
    told.setenv("BACKUP_S3_STORES", buckets)
    with pytest.raises(SystemExit):
        load(BackupSettings)
    assert said in capsys.readouterr().err


def test_what_is_missing_is_named_without_any_secret(
    told: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told.delenv("BACKUP_LEGACY_TOKEN")
    told.setenv("BACKUP_PORT", "many")
    with pytest.raises(SystemExit):
        load(BackupSettings)
    said = capsys.readouterr().err
    assert "BACKUP_" in said
    assert "TOKEN" in said
    assert "secret" not in said


def test_a_setting_of_the_home_is_a_folder(tmp_path: Path, told: pytest.MonkeyPatch) -> None:
    told.setenv("BACKUP_HOME", str(tmp_path))
    assert load(BackupSettings).home == tmp_path


@pytest.mark.parametrize("given", ["access_key_id", "secret_access_key"])
def test_half_a_pair_of_keys_is_refused_without_being_shown(
    told: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    told.setenv("BACKUP_S3_STORES", f'{{"far": {{"bucket": "shop", "{given}": "half-a-secret"}}}}')
    with pytest.raises(SystemExit):
        load(BackupSettings)
    said = capsys.readouterr().err
    assert f"{given} is given and" in said
    assert "half-a-secret" not in said


# What is wrong with BACKUP_S3_STORES, and what is said of it.
WRONG = {
    "{far}": "BACKUP_S3_STORES: is not JSON: Expecting property name enclosed in double quotes",
    "": "BACKUP_S3_STORES: is not JSON: Expecting value: line 1 column 1",
    '{"far": {"secret_access_key": "s3cret"': "BACKUP_S3_STORES: is not JSON: Expecting",
    '["s3cret"]': "BACKUP_S3_STORES: Input should be a valid dictionary",
    '{"far": "s3cret"}': "BACKUP_S3_STORES: far: Input should be a valid dictionary",
    '{"far": {"access_key_id": "s3cret"}}': "BACKUP_S3_STORES: far.bucket: Field required",
    '{"far": {"bucket": "b", "timeout": "s3cret"}}': "BACKUP_S3_STORES: far.timeout: Input should",
    '{"far": {"bucket": "b", "access_key_id": "s3cret"}}': "BACKUP_S3_STORES: far: access_key_id",
}


@pytest.mark.parametrize(("given", "problem"), WRONG.items())
def test_variable_store_and_field_are_named_and_no_secret_is(
    told: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str, problem: str
) -> None:
    told.setenv("BACKUP_S3_STORES", given)
    with pytest.raises(SystemExit) as ended:
        load(BackupSettings)
    said = capsys.readouterr().err
    with pytest.raises(StartRefused) as refused:
        store_settings()
    assert ended.value.code == 2
    for text in (said, refused.value.problem):
        assert problem in text
        assert '(expected is JSON like {"far": {"bucket": ' in text
        assert "s3cret" not in text
    assert "nothing was changed" in said


def test_a_folder_that_is_none_is_named_by_its_store(
    told: pytest.MonkeyPatch,
) -> None:
    told.setenv("BACKUP_FOLDER_STORES", '{"nas": 5}')
    with pytest.raises(StartRefused, match=r"BACKUP_FOLDER_STORES: nas: .* like {.nas.: ./mnt"):
        store_settings()
