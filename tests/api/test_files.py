"""Files: lists, one file, its changes and its content by id."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from blobstore.core.store import Store
from tests.api.test_auth import bearer
from tests.api.test_download import expire
from tests.api.wire import problem, quota, stored


def listed(client: FlaskClient, **query: Any) -> list[str]:
    """The names of one page."""
    answer = client.get("/api/v1/files", query_string=query)
    assert answer.status_code == 200, answer.text
    return [file["name"] for file in answer.get_json()["items"]]


def test_pages_are_stable(client: FlaskClient, other: FlaskClient) -> None:
    """A reader of a long list would see a file twice or miss one because others come and go meanwhile."""
    ids = [stored(client, b"%d" % number, name=str(number))["id"] for number in range(7)]
    stored(other, b"theirs")
    first = client.get("/api/v1/files?limit=3").get_json()
    assert [file["name"] for file in first["items"]] == ["6", "5", "4"]
    stored(client, b"new", name="new")
    client.delete(f"/api/v1/files/{ids[4]}")
    client.delete(f"/api/v1/files/{ids[2]}")
    second = client.get("/api/v1/files", query_string={"limit": 3, "cursor": first["next"]}).get_json()
    assert [file["name"] for file in second["items"]] == ["3", "1", "0"]
    assert second["next"] is None
    assert listed(client, limit=1000) == ["new", "6", "5", "3", "1", "0"]
    exact = client.get("/api/v1/files?limit=6").get_json()
    assert (len(exact["items"]), exact["next"]) == (6, None)
    theirs = other.get("/api/v1/files", query_string={"cursor": first["next"]}).get_json()["items"]
    assert {file["name"] for file in theirs}.isdisjoint("0123456")
    assert client.get("/api/v1/files").get_json()["items"][1] == client.get(f"/api/v1/files/{ids[6]}").get_json()


def test_filters(client: FlaskClient) -> None:
    """A list narrowed down would show what was not asked for, or hide what was."""
    a = stored(client, b"a", name="Cat.png", folder="/p", tags="x,y")
    stored(client, b"b", name="dog.png", folder="/p/q", visibility="private")
    stored(client, b"c", name="50%_off", folder="/pp", tags="y")
    stored(client, b"d", name="top")
    stored(client, b"e", name="50x_off", folder="/P")
    for query, names in [
        ({"folder": "/p"}, ["Cat.png"]),
        ({"folder": "/p", "recursive": "1"}, ["dog.png", "Cat.png"]),
        ({"folder": "/"}, ["top"]),
        ({"folder": "/", "recursive": "1"}, ["50x_off", "top", "50%_off", "dog.png", "Cat.png"]),
        ({"folder": "/none"}, []),
        ({"sha256": a["sha256"].upper()}, ["Cat.png"]),
        ({"visibility": "private"}, ["dog.png"]),
        ({"tag": "y"}, ["50%_off", "Cat.png"]),
        ({"q": "cAT"}, ["Cat.png"]),
        ({"q": ".png", "visibility": "public"}, ["Cat.png"]),
        ({"q": "50%_"}, ["50%_off"]),
        ({"q": "_"}, ["50x_off", "50%_off"]),
        ({"q": "'; DROP TABLE files"}, []),
        ({"q": "\\"}, []),
    ]:
        assert listed(client, **query) == names, query


NOT_A_LIST: list[tuple[str, str]] = [
    ("limit=0", "bad_option"),
    ("limit=1001", "bad_option"),
    ("limit=-1", "bad_option"),
    ("limit=1e3", "bad_option"),
    ("limit=%EF%BC%91", "bad_option"),
    ("limit=1&limit=2", "bad_option"),
    ("cursor=x", "bad_cursor"),
    ("cursor=%F0%9F%98%80", "bad_cursor"),
    ("cursor=" + base64.urlsafe_b64encode(b"[" * 2900).decode(), "bad_cursor"),
    ("cursor=" + base64.urlsafe_b64encode(b'["2026-01-01T00:00:00Z", 1]').decode(), "bad_cursor"),
    ("cursor=" + base64.urlsafe_b64encode(b'[1, "abc"]').decode(), "bad_cursor"),
    ("cursor=" + base64.urlsafe_b64encode(b'["2026-01-01T00:00:00Z", "\' OR 1=1"]').decode(), "bad_cursor"),
    ("visibility=secret", "bad_option"),
    ("sha256=abc", "bad_digest"),
    ("folder=x", "bad_name"),
    ("q=a%00", "bad_name"),
    ("sort=name;drop", "bad_option"),
]


def test_a_list_refuses_what_it_does_not_know(client: FlaskClient) -> None:
    """A mistake in a query would be ignored, and a script delete what it did not mean to list (cases 88 and 89)."""
    for query, code in NOT_A_LIST:
        problem(client.get(f"/api/v1/files?{query}"), 400, code)


def test_one_file(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A file could not be looked up, or by the wrong people."""
    file = stored(client, b"x", name="x", visibility="private")
    file.pop("quota")
    path = f"/api/v1/files/{file['id']}"
    assert client.get(path).get_json() == file
    problem(other.get(path), 404, "not_found")
    problem(anybody.get(path), 401, "invalid_credentials")
    for wrong in ("1e3", "-1", str(2**63), "0x1", "%EF%BC%91", "a'b", "x" * 500):
        problem(client.get(f"/api/v1/files/{wrong}"), 404, "not_found")


def test_every_change(client: FlaskClient, anybody: FlaskClient) -> None:
    """A change would not be kept, or touch what it did not name."""
    file = stored(client, b"x", name="old.txt", tags="a")
    file.pop("quota")
    path, link = f"/api/v1/files/{file['id']}", "/" + file["sha256"]
    for change, shown in [
        ({"name": "new.bin"}, {"name": "new.bin", "url": file["url"].replace(".txt", ".bin")}),
        ({"folder": "/a/b"}, {"folder": "/a/b"}),
        ({"visibility": "private"}, {"visibility": "private"}),
        ({"expires_at": "2100-01-31T12:00:00Z"}, {"expires_at": "2100-01-31T12:00:00Z"}),
        ({"expires_at": None}, {"expires_at": None}),
        ({"tags": ["b", "b", "c"]}, {"tags": ["b", "c"]}),
        ({"tags": []}, {"tags": []}),
        ({}, {}),
    ]:
        file |= shown
        answer = client.patch(path, json=change)
        assert (answer.status_code, answer.get_json()) == (200, file)
        assert client.get(path).get_json() == file
    problem(anybody.get(link), 404, "not_found")
    assert client.patch(path, json={"visibility": "public"}).status_code == 200
    assert anybody.get(link).status_code == 200
    assert client.patch(path, json={"expires_in": 3600}).get_json()["expires_at"]
    assert quota(client)["used"] == 1


NOT_A_CHANGE: list[tuple[Any, int, str]] = [
    ({"name": ""}, 400, "bad_name"),
    ({"name": None}, 400, "bad_option"),
    ({"name": "a\nb"}, 400, "bad_name"),
    ({"name": "\ud800"}, 400, "bad_text"),
    ({"folder": "a"}, 400, "bad_name"),
    ({"folder": "/a/../b"}, 400, "bad_name"),
    ({"visibility": "hidden"}, 400, "bad_option"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "bad_expires"),
    ({"expires_at": "2100-02-30T00:00:00Z"}, 400, "bad_expires"),
    ({"expires_at": "2100-01-01T00:00:00"}, 400, "bad_expires"),
    ({"expires_at": 4102444800}, 400, "bad_option"),
    ({"expires_in": 0}, 400, "bad_option"),
    ({"expires_in": 60, "expires_at": None}, 400, "bad_expires"),
    ({"tags": "a"}, 400, "bad_option"),
    ({"tags": ["x" * 65]}, 400, "bad_option"),
    ({"tags": [str(number) for number in range(33)]}, 400, "bad_option"),
    ({"sha256": "0" * 64}, 422, "unknown_field"),
    ({"downloads": 5}, 422, "unknown_field"),
    ([], 400, "bad_json"),
]


def test_a_change_is_refused_as_a_whole(client: FlaskClient) -> None:
    """A file would be changed in part, to what it cannot be, or by a field that only looks as if it counted."""
    file = stored(client, b"x", name="x")
    file.pop("quota")
    for change, status, code in NOT_A_CHANGE:
        sent = {"tags": ["kept?"], **change} if isinstance(change, dict) else change
        problem(client.patch(f"/api/v1/files/{file['id']}", json=sent), status, code)
    assert client.get(f"/api/v1/files/{file['id']}").get_json() == file


def test_a_change_is_json(client: FlaskClient) -> None:
    """A form or a text would be taken for a change (case 30)."""
    path = f"/api/v1/files/{stored(client)['id']}"
    problem(client.patch(path, data='{"name": "x"}', content_type="text/plain"), 415, "unsupported_media_type")
    problem(client.patch(path, data={"name": "x"}), 415, "unsupported_media_type")
    problem(client.patch(path, data=b'{"name":"a","name":"b"}', content_type="application/json"), 400, "bad_json")
    problem(client.patch(path, data=b"[" * 50000, content_type="application/json"), 400, "bad_json")
    problem(client.patch(path, json={"name": "x" * 70000}), 413, "body_too_large")


def test_no_twins(client: FlaskClient, other: FlaskClient, store: Store) -> None:
    """Two live files would have the same folder, name and content, and a client could not tell them apart."""
    a, b = stored(client, b"x", name="a"), stored(client, b"x", name="b")
    stored(client, b"y", name="c")
    stored(other, b"x", name="d")
    path = f"/api/v1/files/{b['id']}"
    found = problem(client.patch(path, json={"name": "a", "tags": ["t"]}), 409, "already_exists")
    assert "that name" in found["detail"]
    assert client.get(path).get_json()["tags"] == []
    for free in ({"name": "b"}, {"name": "c"}, {"name": "d"}, {"name": "a", "folder": "/f"}):
        assert client.patch(path, json=free).status_code == 200
    problem(client.patch(path, json={"folder": "/"}), 409, "already_exists")
    expire(store, a)
    assert client.patch(path, json={"folder": "/"}).status_code == 200


def test_nobody_changes_another_ones_file(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A stranger would rename, publish or find out about a file."""
    for visibility in ("public", "private"):
        path = f"/api/v1/files/{stored(client, visibility.encode(), visibility=visibility)['id']}"
        problem(other.patch(path, json={"name": "mine"}), 404, "not_found")
        problem(anybody.patch(path, json={"name": "mine"}), 401, "invalid_credentials")
    problem(other.patch("/api/v1/files/00000000", json={"name": "mine"}), 404, "not_found")


def test_content_by_id(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A file could not be read by its id under its own name; a private one could, by a stranger."""
    stored(other, b"0123456789", name="theirs.txt")
    file = stored(client, b"0123456789", name="mine.txt", visibility="private")
    path = f"/api/v1/files/{file['id']}/download"
    answer = client.get(path)
    assert answer.data == b"0123456789"
    assert 'filename="mine.txt"' in answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert client.get(path, headers={"Range": "bytes=2-3"}).data == b"23"
    assert client.get(path, headers={"If-None-Match": f'"{file["sha256"]}"'}).status_code == 304
    assert (client.head(path).status_code, client.head(path).headers["Content-Length"]) == (200, "10")
    for one in (other, anybody):
        problem(one.get(path), 404, "not_found")
        problem(one.get(path + "?mode=url"), 404, "not_found")
        problem(one.get(path, headers={"If-None-Match": "*"}), 404, "not_found")
    public = f"/api/v1/files/{stored(client, b'public')['id']}/download"
    assert anybody.get(public).data == b"public"


def test_a_signed_link(client: FlaskClient, anybody: FlaskClient, store: Store) -> None:
    """An owner could not hand a private file to a program without a login; or the link would open more than it says."""
    file = stored(client, b"x", name="x", visibility="private")
    path = f"/api/v1/files/{file['id']}/download"
    for answer in (client.get(path + "?mode=url"), client.get(path, headers={"Accept": "application/json"})):
        link = answer.get_json()["download_url"]
        assert answer.get_json()["expires_at"]
        assert anybody.get(link).data == b"x"
        assert anybody.head(link).status_code == 200
    query = urlsplit(link).query
    second = stored(client, b"y", name="y", visibility="private")
    problem(anybody.get(f"/api/v1/files/{second['id']}/download?{query}"), 403, "bad_signature")
    for wrong in (query[:-1], query + "A", query.replace("expires=", "expires=1"), query.replace("key=", "key=0")):
        problem(anybody.get(f"{path}?{wrong}"), 403, "bad_signature")
    for more in ("&inline=1", "&" + query):
        problem(anybody.get(link + more), 400, "bad_option")
    problem(anybody.get(link.replace("signature=", "sig=")), 400, "bad_option")
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert anybody.open(link, method=method).status_code == 405
    problem(anybody.delete(f"/api/v1/files/{file['id']}?{query}"), 401, "invalid_credentials")
    expire(store, file)
    problem(anybody.get(link), 403, "bad_signature")


def test_a_signed_link_of_a_key(client: FlaskClient, anybody: FlaskClient) -> None:
    """Whoever finds a key in a script could keep files open for longer than the key."""
    file = stored(client, b"x", name="x", visibility="private")
    made = client.post("/api/v1/keys", json={"name": "k", "scopes": ["read"]}).get_json()
    path = f"/api/v1/files/{file['id']}/download"
    link = anybody.get(f"{path}?mode=url", headers=bearer(made["key"])).get_json()["download_url"]
    assert anybody.get(link).data == b"x"
    for wrong in (link.replace(made["id"], "x"), link.replace(f"&api_key={made['id']}", "")):
        assert wrong != link
        problem(anybody.get(wrong), 403, "bad_signature")
    assert client.delete(f"/api/v1/keys/{made['id']}").status_code == 204
    problem(anybody.get(link), 403, "bad_signature")


def test_the_mode_of_a_download_is_one_of_two(client: FlaskClient) -> None:
    """A typing error in `mode=url` would send the whole file to a program that waits for a link."""
    path = f"/api/v1/files/{stored(client, b'x', name='x')['id']}/download"
    assert client.get(path + "?mode=file", headers={"Accept": "application/json"}).data == b"x"
    assert "download_url" in client.get(path + "?mode=url").get_json()
    problem(client.get(path + "?mode=url&download=perhaps"), 400, "bad_option")
    for mode in ("", "URL", "link", "json"):
        problem(client.get(f"{path}?mode={mode}"), 400, "bad_option")


def test_an_owner_sees_that_a_file_is_damaged(
    client: FlaskClient, anybody: FlaskClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """He would learn it when he needs the file, and not that sending it again is all that it takes."""
    made = client.put("/upload/x", data=b"precious").get_json()
    assert made["damaged"] is False
    digest, address = made["sha256"], f"/api/v1/files/{made['id']}"
    (store.settings.store / digest[:2] / digest).unlink()
    for path in (f"/{digest}", f"/{digest}", f"{address}/download", f"/{digest}.sha256"):
        told = problem(client.get(path), 503, "content_damaged")
        assert "upload the content again to heal it" in told["detail"]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["damaged"]
    assert client.get(address).get_json()["damaged"] is True
    (listed,) = client.get("/api/v1/files").get_json()["items"]
    assert listed["damaged"] is True
    assert "damaged" not in anybody.get(address).get_json()
    healed = client.put("/upload/x", data=b"precious").get_json()
    assert (healed["id"], healed["damaged"]) == (made["id"], False)
    assert client.get(f"/{digest}").data == b"precious"
