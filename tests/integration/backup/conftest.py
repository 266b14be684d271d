"""What the tests of backups share."""

import pytest

from tests.support.databases import Databases


@pytest.fixture
def databases_dsn(databases: Databases) -> str:
    """The superuser's address of a cluster that is not backed up."""
    return databases.postgres.admin_dsn()
