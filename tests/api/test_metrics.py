"""Who gets the metrics, and what one worker adds to what all have counted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families as families

from blobstore.app import create_app
from blobstore.core import accounts, rounds
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.errors import StorageUnavailable
from tests.api.wire import problem
from tests.conftest import PASSWORD, SECRET_KEY

TOKEN = "an operator's own token that is long enough 0123456789"
CARRIED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def given(request: pytest.FixtureRequest) -> dict[str, str]:
    """With a token, unless the test is marked."""
    return {} if "without" in request.node.name else {"BLOBSTORE_METRICS_TOKEN": TOKEN}


def numbers(client: FlaskClient) -> dict[str, float]:
    """Every number by its name, with the job behind a colon."""
    page = client.get("/metrics", headers=CARRIED)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    found = [sample for family in families(page.text) for sample in family.samples]
    return {sample.name + "".join(f":{job}" for job in sample.labels.values()): sample.value for sample in found}


def test_the_token_is_needed(anybody: FlaskClient, client: FlaskClient, store: Store) -> None:
    """Strangers, and users too, would learn how much is stored and who works when."""
    accounts.add(store, "root", PASSWORD, admin=True)
    refused = anybody.get("/metrics")
    problem(refused, 401, "invalid_credentials")
    # Basic would only be asked for in vain.
    assert refused.headers.getlist("WWW-Authenticate") == ['Bearer realm="blobstore"']
    problem(client.get("/metrics"), 401, "invalid_credentials")
    problem(anybody.get("/metrics", auth=("root", PASSWORD)), 401, "invalid_credentials")
    for token in (TOKEN[:-1], TOKEN + "x", "", "é"):
        problem(anybody.get("/metrics", headers={"Authorization": f"Bearer {token}"}), 401, "invalid_credentials")
    assert anybody.get("/metrics", headers=CARRIED).status_code == 200


def test_without_a_token_there_are_none(anybody: FlaskClient) -> None:
    """The numbers would be open to everybody before anybody thought of them."""
    problem(anybody.get("/metrics", headers=CARRIED), 404, "not_found")


def test_what_is_seen_now(anybody: FlaskClient, store: Store) -> None:
    """Nobody would be woken when the disk fills up, or upkeep stands still."""
    before = datetime.now(UTC).timestamp()
    with rounds.noted(store, "verify") as tally:
        tally.handled, tally.handled_bytes, tally.findings = 3, 5000, 1
    with pytest.raises(StorageUnavailable), rounds.noted(store, "sweep"):
        raise StorageUnavailable("the server's disk refused (EIO)")
    found = numbers(anybody)
    assert found["blobstore_ready"] == found["blobstore_takes_uploads"] == 1
    assert found["blobstore_free_bytes"] > 0
    assert found["blobstore_floor_bytes"] == 256 << 20
    assert abs(found["blobstore_upkeep_ended_timestamp_seconds:verify"] - before) < 3600
    told = {
        name: found[f"blobstore_upkeep_{name}:verify"] for name in ("handled", "handled_bytes", "findings", "failed")
    }
    assert told == {"handled": 3, "handled_bytes": 5000, "findings": 1, "failed": 0}
    assert found["blobstore_upkeep_duration_seconds:verify"] >= 0
    assert found["blobstore_upkeep_failed:sweep"] == 1
    assert found["blobstore_upkeep_ended_timestamp_seconds:sweep"] == 0


def test_who_takes_no_uploads_is_told_apart(anybody: FlaskClient) -> None:
    """A full disk and a whole outage would ring the same bell, or none."""
    anybody.application.extensions["blobstore"].store.condition.trouble = StorageUnavailable("refused")
    found = numbers(anybody)
    assert (found["blobstore_ready"], found["blobstore_takes_uploads"]) == (1, 0)


def test_they_need_no_database(data: Path) -> None:
    """There would be no numbers of an outage."""
    given = {
        "DATABASE_URL": "postgresql://x:y@127.0.0.1:1/x",
        "BLOBSTORE_DATA": str(data),
        "SECRET_KEY": SECRET_KEY,
        "BLOBSTORE_METRICS_TOKEN": TOKEN,
    }
    found = numbers(create_app(load(given, None)).test_client())
    assert found["blobstore_ready"] == found["blobstore_takes_uploads"] == 0
    assert found["blobstore_free_bytes"] > 0
    assert not [name for name in found if "upkeep" in name or "damaged" in name]


@pytest.mark.unaudited
def test_damage_that_stands_is_seen(anybody: FlaskClient, client: FlaskClient, store: Store) -> None:
    """Nobody would be woken for a file that its owner does not get, or woken for ever for one that was healed."""
    assert numbers(anybody)["blobstore_damaged_blobs"] == 0
    digest = client.put("/upload/x", data=b"x").get_json()["sha256"]
    (store.settings.store / digest[:2] / digest).unlink()
    problem(anybody.get(f"/{digest}"), 503, "content_damaged")
    assert numbers(anybody)["blobstore_damaged_blobs"] == 1
    assert anybody.get("/health/ready", headers=CARRIED).get_json()["damaged"] == 1
    assert client.put("/upload/x", data=b"x").status_code == 200
    assert numbers(anybody)["blobstore_damaged_blobs"] == 0
