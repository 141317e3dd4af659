"""What an admin sees of everybody: /api/v1/admin/files and /api/v1/admin/stats."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import accounts, admin
from blobstore.core.store import Store
from tests.api.wire import problem, sha256, stored
from tests.conftest import PASSWORD, signed_in

FILES, STATS = "/api/v1/admin/files", "/api/v1/admin/stats"


@pytest.fixture
def chief(app: Flask, store: Store) -> FlaskClient:
    """A client of an admin."""
    accounts.add(store, "chief", PASSWORD, admin=True)
    return signed_in(app, "chief")


def listed(chief: FlaskClient, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chief.get(f"{FILES}?{query}").get_json()["items"]
    return found


def test_an_admin_sees_whose_files_there_are(client: FlaskClient, other: FlaskClient, chief: FlaskClient) -> None:
    """An admin could not find out what fills the disk, or who has a content that he is asked to ban."""
    mine = [stored(client, content, name=f"{number}") for number, content in enumerate((b"a", b"b", b"c"))]
    private = stored(other, b"a", visibility="private")
    assert [file["id"] for file in listed(chief, "user=ME")] == [file["id"] for file in mine[::-1]]
    assert [(file["owner"], file["id"]) for file in listed(chief, f"sha256={sha256(b'a').upper()}")] == [
        ("other", private["id"]),
        ("me", mine[0]["id"]),
    ]
    assert [file["owner"] for file in listed(chief, f"sha256={sha256(b'a')}&user=other")] == ["other"]
    (file,) = listed(chief, "user=other")
    assert file == {"owner": "other", **{name: value for name, value in private.items() if name != "quota"}}
    first = chief.get(f"{FILES}?user=me&limit=2").get_json()
    second = chief.get(f"{FILES}?user=me&limit=2&cursor={first['next']}").get_json()
    assert ([*first["items"], *second["items"]], second["next"]) == (listed(chief, "user=me"), None)


def test_a_disabled_user_is_looked_at_too(client: FlaskClient, chief: FlaskClient, store: Store) -> None:
    """An admin could not see what somebody has whom he has just stopped."""
    file = stored(client, b"a")
    admin.set_disabled(store, "me", disabled=True)
    assert [found["id"] for found in listed(chief, "user=me")] == [file["id"]]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "bad_option"),
        ("limit=5", 400, "bad_option"),
        ("user=nobody", 404, "not_found"),
        ("user=%00", 400, "bad_name"),
        ("sha256=x", 400, "bad_digest"),
        ("user=me&cursor=x", 400, "bad_cursor"),
        ("user=me&q=x", 400, "bad_option"),
    ],
)
def test_a_mistyped_question_is_refused(
    client: FlaskClient, chief: FlaskClient, query: str, status: int, code: str
) -> None:
    """All files of the store would be read for nothing, or the answer be to another question."""
    problem(chief.get(f"{FILES}?{query}"), status, code)


def test_the_numbers_of_the_store(client: FlaskClient, other: FlaskClient, chief: FlaskClient, store: Store) -> None:
    """An admin would not know what the store holds, who uses it, and what it saves."""
    stored(client, b"text" * 25, name="x")
    stored(client, b"text" * 25, name="y")
    stored(other, b"text" * 25)
    stored(other, b"\x89PNG\r\n\x1a\n" + bytes(12))
    accounts.add(store, "gone", PASSWORD)
    admin.set_disabled(store, "gone", disabled=True)
    found = chief.get(STATS).get_json()
    users = [(user["name"], user["files"], user["contents"], user["logical"], user["used"])
             for user in found.pop("top_users")]  # fmt: skip
    kinds = found.pop("top_types")
    assert found == {"users": 4, "disabled_users": 1, "files": 4, "contents": 2, "logical": 320, "used": 220,
                     "stored": 120, "saved": 200}  # fmt: skip
    assert users == [("other", 2, 2, 120, 120), ("me", 2, 1, 200, 100), ("chief", 0, 0, 0, 0), ("gone", 0, 0, 0, 0)]
    assert kinds == [
        {"content_type": "text/plain; charset=utf-8", "contents": 1, "stored": 100},
        {"content_type": "image/png", "contents": 1, "stored": 20},
    ]


def test_an_empty_store_has_numbers(chief: FlaskClient) -> None:
    """The first admin would see an error of ours."""
    assert (chief.get(STATS).get_json()["stored"], chief.get(STATS).get_json()["users"]) == (0, 1)
