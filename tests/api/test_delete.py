"""Delete by hash and by id, and what the quota gets back."""

from __future__ import annotations

from flask.testing import FlaskClient

from blobstore.core.store import Store
from tests.api.test_download import expire
from tests.api.wire import problem, quota, sha256, stored


def test_delete_by_hash_takes_all_of_the_callers_names(
    client: FlaskClient, other: FlaskClient, anybody: FlaskClient
) -> None:
    """A deleted content would stay readable, or somebody else's file would go with it."""
    stored(client, b"hello", name="a")
    stored(client, b"hello", name="b", folder="/f", visibility="private")
    kept = stored(client, b"kept", name="c")
    stored(other, b"hello", name="d")
    path = "/" + sha256(b"hello")
    would = client.delete(path + "?dry_run=1")
    assert (would.status_code, would.get_json()) == (200, {"deleted": 2, "freed_bytes": 5})
    assert quota(client)["files"] == 3
    assert client.delete(path).get_json() == {"deleted": 2, "freed_bytes": 5}
    numbers = quota(client)
    assert (numbers["files"], numbers["contents"], numbers["used"]) == (1, 1, 4)
    problem(client.delete(path), 404, "not_found")
    assert anybody.get(path).data == b"hello"
    assert client.get("/" + kept["sha256"]).data == b"kept"
    assert other.delete(path.upper()).get_json() == {"deleted": 1, "freed_bytes": 5}
    problem(anybody.get(path), 404, "not_found")
    problem(other.get(path), 404, "not_found")
    assert stored(client, b"hello", name="a")["quota"]["used"] == 9
    assert anybody.get(path).data == b"hello"


def test_nobody_deletes_for_another(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A stranger would delete a file, or learn from the answer that it is there."""
    public, private = stored(client, b"x", name="x"), stored(client, b"y", name="y", visibility="private")
    for file in (public, private):
        for path in ("/" + file["sha256"], f"/api/v1/files/{file['id']}"):
            for suffix in ("", "?dry_run=1"):
                problem(other.delete(path + suffix), 404, "not_found")
                problem(anybody.delete(path + suffix), 401, "invalid_credentials")
    problem(other.delete("/" + "0" * 64), 404, "not_found")
    assert quota(client)["files"] == 2


def test_delete_by_id_takes_one_name(client: FlaskClient, anybody: FlaskClient) -> None:
    """A file deleted by its id would take its twins with it, or be charged on."""
    first, second = stored(client, b"hello", name="a"), stored(client, b"hello", name="b")
    path = f"/api/v1/files/{first['id']}"
    assert client.delete(path + "?dry_run=1").get_json() == {"deleted": 1, "freed_bytes": 0}
    assert client.delete(path).get_json() == {"deleted": 1, "freed_bytes": 0}
    problem(client.delete(path), 404, "not_found")
    problem(client.get(f"/s/{first['id']}"), 404, "not_found")
    assert anybody.get("/" + first["sha256"]).data == b"hello"
    numbers = quota(client)
    assert (numbers["files"], numbers["used"], numbers["logical"], numbers["saved"]) == (1, 5, 5, 0)
    last = f"/api/v1/files/{second['id']}"
    assert client.delete(last + "?dry_run").get_json() == {"deleted": 1, "freed_bytes": 5}
    assert client.delete(last).get_json() == {"deleted": 1, "freed_bytes": 5}
    assert quota(client)["used"] == 0
    problem(anybody.get("/" + first["sha256"]), 404, "not_found")


def test_other_protocols_folders_stay(client: FlaskClient, store: Store) -> None:
    """Tidying up by hash would break a Git repository or a backup that holds the same content."""
    stored(client, b"x", name="mine")
    stored(client, b"x", name="theirs", folder="/.lfs/repo")
    stored(client, b"x", name="deep", folder="/a/.hidden")
    path = "/" + sha256(b"x")
    assert client.delete(path + "?dry_run=1").get_json() == {"deleted": 2, "freed_bytes": 0}
    assert client.delete(path).get_json() == {"deleted": 2, "freed_bytes": 0}
    problem(client.delete(path), 404, "not_found")
    assert client.get(path).data == b"x"
    assert client.delete(path + "?folder=/.lfs/repo").get_json() == {"deleted": 1, "freed_bytes": 1}
    problem(client.get(path), 404, "not_found")


def test_delete_in_one_folder(client: FlaskClient) -> None:
    """More would go than what the folder holds."""
    for folder in ("/", "/f", "/f/g"):
        stored(client, b"x", name="x", folder=folder)
    path = "/" + sha256(b"x")
    assert client.delete(path + "?folder=/f").get_json() == {"deleted": 1, "freed_bytes": 0}
    problem(client.delete(path + "?folder=/f"), 404, "not_found")
    problem(client.delete(path + "?folder=f"), 400, "bad_name")
    problem(client.delete(path + "?dry_run=maybe"), 400, "bad_option")
    problem(client.delete(path + "?dryrun=1"), 400, "bad_option")
    assert quota(client)["files"] == 2


def test_an_expired_file_is_nothing_to_delete(client: FlaskClient, store: Store) -> None:
    """A client would be told that it deleted what it had been told is gone."""
    file = stored(client, b"x", name="x", expires_in=100)
    expire(store, file)
    problem(client.delete(f"/api/v1/files/{file['id']}"), 404, "not_found")
