"""One data folder for all tests of the interface in this process: making its shards costs more than most tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import accounts
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.settings import Settings
from tests.conftest import PASSWORD, PATIENT, SECRET_KEY, signed_in


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def given() -> dict[str, str]:
    """Settings of a test's own, as environment variables; to be overridden."""
    return {}


@pytest.fixture
def settings(database_url: str, data: Path, given: dict[str, str]) -> Settings:
    """Settings on an empty database and a data folder without bytes."""
    for blob in data.glob("store/??/*"):
        blob.unlink()
    fixed = {"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}
    return load({**fixed, **PATIENT, **given}, None)


@pytest.fixture
def other(app: Flask, store: Store) -> FlaskClient:
    """A client that sends the Basic credentials of a second user, `other`, who has no limit."""
    return signed_in(app, accounts.add(store, "other", PASSWORD).name)


@pytest.fixture
def chief(app: Flask, store: Store) -> FlaskClient:
    """A client of an admin."""
    return signed_in(app, accounts.add(store, "chief", PASSWORD, admin=True).name)
