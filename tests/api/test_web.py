"""What holds for every request: hosts, proxies, other sites, and what every answer carries."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from blobstore.core.store import Store
from tests.api.test_auth import basic
from tests.api.wire import problem, quota, sha256, stored
from tests.conftest import PASSWORD

BASE = {"BASE_URL": "https://files.example", "BLOBSTORE_ALLOWED_HOSTS": "other.example, Third.example"}
FORWARDED = {
    "X-Forwarded-For": "192.0.2.1, 192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "files.example",
    "Forwarded": "for=192.0.2.9;host=evil.example;proto=https",
    "X-Real-IP": "192.0.2.9",
    "X-Remote-User": "me",
    "X-Script-Name": "/evil",
    "X-Forwarded-Prefix": "/evil",
}


def test_any_sound_host_without_a_base_url(client: FlaskClient) -> None:
    """A laptop reached by another name would refuse; or a link would be built from rubbish (case 9)."""
    for host in ("localhost:5000", "my-laptop", "192.0.2.1:80", "[2001:db8::1]:8080", "a_b", "a_b.example:8080"):
        headers = {"Host": host}
        file = client.post("/upload?name=x", data=b"x", headers=headers).get_json()
        assert file["url"] == f"http://{host}/{sha256(b'x')}"
    for host in ("", "a@b", "a b", "a/b", "evil.example:99999999", "a:b", "[::1", "ex\xe4mple", "x,y", "a?b", "a#b"):
        problem(client.get("/health", headers={"Host": host}), 400, "bad_host")


@pytest.mark.parametrize("given", [BASE])
def test_only_known_hosts_with_a_base_url(client: FlaskClient, anybody: FlaskClient, given: dict[str, str]) -> None:
    """A forged Host would get into links; or a health check by address be refused."""
    for host in (
        "files.example",
        "FILES.example:8443",
        "other.example",
        "third.example",
        "localhost",
        "127.0.0.1:5000",
    ):
        answer = anybody.get("/health", headers={"Host": host})
        assert answer.status_code == 200, host
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert anybody.get("/health", headers={"Host": "[::1]:5000"}).status_code == 200
    for host in ("evil.example", "files.example.evil", "xfiles.example", "192.0.2.1", "files.example.", ""):
        problem(anybody.get("/health", headers={"Host": host}), 400, "bad_host")
    file = stored(client, b"x", name="a.txt")
    assert file["url"] == f"https://files.example/{sha256(b'x')}.txt"
    assert file["short_url"] == f"https://files.example/s/{file['id']}"
    assert anybody.get(f"/s/{file['id']}").headers["Location"] == f"https://files.example/{sha256(b'x')}/a.txt"


def test_a_proxys_headers_are_ignored(client: FlaskClient, anybody: FlaskClient) -> None:
    """Anybody could choose his address, his host or his name by a header (case 77)."""
    file = client.post("/upload?name=x", data=b"x", headers=FORWARDED).get_json()
    assert file["url"] == f"http://localhost/{sha256(b'x')}"
    problem(anybody.get("/api/v1/me", headers=FORWARDED), 401, "invalid_credentials")
    for number in range(11):
        header = {**basic("me", f"wrong{number}"), "X-Forwarded-For": f"192.0.2.{number}"}
        answer = anybody.get("/api/v1/me", headers=header)
    problem(answer, 429, "too_many_attempts")


@pytest.mark.parametrize("given", [{"BLOBSTORE_TRUSTED_PROXY_HOPS": "1"}])
def test_our_proxys_headers_count(client: FlaskClient, anybody: FlaskClient, given: dict[str, str]) -> None:
    """Behind a proxy all clients would share one limit, and links would name the inner host."""
    file = client.post("/upload?name=x", data=b"x", headers=FORWARDED).get_json()
    assert file["url"] == f"https://files.example/{sha256(b'x')}"
    for number in range(11):
        header = {**basic("me", f"wrong{number}"), "X-Forwarded-For": f"192.0.2.{number}, 198.51.100.1"}
        answer = anybody.get("/api/v1/me", headers=header)
    problem(answer, 429, "too_many_attempts")
    elsewhere = {**basic("me", PASSWORD), "X-Forwarded-For": "198.51.100.1, 198.51.100.2"}
    assert anybody.get("/api/v1/me", headers=elsewhere).status_code == 200
    problem(anybody.get("/health", headers={"X-Forwarded-Host": "a@b"}), 400, "bad_host")


def test_other_sites_change_nothing(client: FlaskClient, store: Store) -> None:
    """A page of another site would upload or delete with the password that the browser sends along (case 79)."""
    file = stored(client, b"x", name="x")
    path = f"/api/v1/files/{file['id']}"
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:81"},
        {"Origin": "localhost"},
        {"Origin": "http://[::1"},
        {"Origin": "ftp://localhost"},
        {"Origin": "http://evil@localhost"},
        {"Origin": ""},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    ):
        problem(client.delete("/" + file["sha256"], headers=headers), 403, "cross_site")
        problem(client.patch(path, json={"name": "y"}, headers=headers), 403, "cross_site")
        problem(client.post("/upload", data=b"y", headers=headers), 403, "cross_site")
        problem(client.put("/upload/y", data=b"y", headers=headers), 403, "cross_site")
        assert client.get("/" + file["sha256"], headers=headers).data == b"x"
    assert quota(client)["files"] == 1
    for headers in (
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://localhost:80"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        assert client.patch(path, json={"tags": []}, headers=headers).status_code == 200
    for host, origin in (("a_b:81", "http://A_B:81"), ("files.example:443", "https://files.example")):
        assert client.patch(path, json={}, headers={"Host": host, "Origin": origin}).status_code == 200


def test_every_answer_says_whether_it_may_be_kept(client: FlaskClient, anybody: FlaskClient) -> None:
    """A cache on the way would hand one user's list or error to another."""
    stored(client, b"x")
    for path in ("/", "/nowhere", "/health", "/api/v1/files", "/api/v1/me", "/api/v1/me/quota", "/api/v1/keys"):
        answer = client.get(path)
        assert answer.headers["Cache-Control"] == "no-store", path
        assert answer.headers["X-Request-ID"]
        assert "Strict-Transport-Security" not in answer.headers
        assert "Set-Cookie" not in answer.headers
    home = anybody.get("/")
    assert (home.status_code, home.headers["Location"]) == (302, "/docs")


def test_slashes_are_not_merged(client: FlaskClient) -> None:
    """One file would have many addresses, and a rule in a proxy for one of them could be walked around."""
    file = stored(client, b"x", name="x")
    for path in (
        f"//{file['sha256']}",
        "//api/v1/me",
        "/api//v1/me",
        "/api/v1//me",
        "/health/",
        f"/{file['sha256']}//x",
    ):
        answer = client.get("/", environ_overrides={"PATH_INFO": path})
        problem(answer, 404, "not_found")
    problem(client.put("/", data=b"y", environ_overrides={"PATH_INFO": "//upload"}), 404, "not_found")
