"""Origins: contents under a host of their own, and the pages of other origins (Fetch, CORS)."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.wire import problem, quota, stored

PNG = b"\x89PNG\r\n\x1a\n of a cat"
SERVICE, CONTENT = "https://files.example", "https://content.example"
OWN_CONTENT = {"BASE_URL": SERVICE, "BLOBSTORE_CONTENT_ORIGIN": CONTENT}
PAGE = "https://page.example"
OWN_PAGE = {"BLOBSTORE_CORS_ORIGINS": f"{PAGE}, http://localhost:8080/"}
under_service: dict[str, Any] = {"base_url": SERVICE}
under_content: dict[str, Any] = {"base_url": CONTENT}


def allowed(answer: Any) -> dict[str, str]:
    """What the answer says to a browser about other origins."""
    return {name: value for name, value in answer.headers if name.startswith("Access-Control-Allow")}


def preflight(client: FlaskClient, path: str, origin: str, method: str, **more: Any) -> Any:
    """What a browser asks before it lets a page send this."""
    asks = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    return client.options(path, headers={"Origin": origin, **asks}, **more)


@pytest.mark.parametrize("given", [OWN_CONTENT])
def test_contents_are_shown_only_under_their_own_origin(
    client: FlaskClient, anybody: FlaskClient, given: dict[str, str]
) -> None:
    """Strangers' content would be shown under the host of the service, or not even under the one meant for it."""
    answer = client.post("/upload?name=cat.png", data=PNG, **under_service)
    file = answer.get_json()
    assert file["url"] == f"{CONTENT}/{file['sha256']}.png"
    assert file["short_url"] == f"{SERVICE}/s/{file['id']}"
    assert (
        anybody.get(f"/s/{file['id']}", **under_service).headers["Location"].startswith(f"{CONTENT}/{file['sha256']}/")
    )
    assert f"{CONTENT}/{file['sha256']}/" in anybody.get(f"/{file['sha256']}.meta4", **under_service).text
    for path in (f"/{file['sha256']}", f"/{file['sha256']}.png", f"/{file['sha256']}/cat.png"):
        kinds = [
            anybody.get(path, **under).headers["Content-Disposition"].partition(";")[0]
            for under in (under_content, under_service, {"base_url": "http://localhost"})
        ]
        assert kinds == ["inline", "attachment", "attachment"]
    by_id = client.get(f"/api/v1/files/{file['id']}/download", **under_service)
    assert by_id.headers["Content-Disposition"].startswith("attachment")
    link = client.get(f"/api/v1/files/{file['id']}/download?mode=url", **under_service).get_json()["download_url"]
    assert link.startswith(SERVICE)


@pytest.mark.parametrize("given", [OWN_CONTENT])
@pytest.mark.parametrize("host", ["content.example", "Content.Example", "content.example:443"])
def test_nothing_else_is_answered_there(client: FlaskClient, given: dict[str, str], host: str) -> None:
    """A script in somebody's file, where a browser runs one after all, would find the API in its own origin."""
    file = client.post("/upload?name=cat.png", data=PNG, **under_service).get_json()
    there: dict[str, Any] = {"headers": {"Host": host}, "base_url": "https://ignored.example"}
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/health",
        "/api/v1/me",
        "/api/v1/files",
        f"/s/{file['id']}",
        "/nowhere",
    ):
        problem(client.get(path, **there), 404, "not_found")
    problem(client.get(f"/api/v1/files/{file['id']}/download", **there), 404, "not_found")
    for method, path in (("DELETE", f"/{file['sha256']}"), ("PUT", f"/{file['sha256']}"), ("POST", "/upload")):
        problem(client.open(path, method=method, data=PNG, **there), 404, "not_found")
    assert client.get(f"/{file['sha256']}.png", **there).data == PNG
    assert client.get(f"/{file['sha256']}.sha256", **there).status_code == 200
    assert client.get("/api/v1/me/quota", **under_service).get_json()["files"] == 1


@pytest.mark.parametrize("given", [OWN_CONTENT])
def test_a_page_may_ask_for_a_part_there(client: FlaskClient, given: dict[str, str]) -> None:
    """A player in a page of another origin could not seek, for a Range beyond the simple ones is asked for first."""
    file = client.post("/upload?name=cat.png", data=PNG, **under_service).get_json()
    answer = preflight(client, f"/{file['sha256']}", "https://any.example", "GET", **under_content)
    assert answer.status_code == 200
    assert allowed(answer)["Access-Control-Allow-Origin"] == "*"


def test_any_page_may_read_public_contents_only(client: FlaskClient, anybody: FlaskClient) -> None:
    """A page of another site could read a private file or change one; or no page a public one (case 80)."""
    public = stored(client, PNG, name="cat.png")
    private = stored(client, b"private", visibility="private")
    origin = {"Origin": "https://any.example"}
    assert allowed(anybody.get("/" + public["sha256"], headers=origin)) == {"Access-Control-Allow-Origin": "*"}
    assert allowed(client.get("/" + private["sha256"], headers=origin)) == {}
    assert allowed(client.get(f"/api/v1/files/{public['id']}/download", headers=origin)) == {}
    for digest in (public["sha256"], private["sha256"], "0" * 64):
        for method in ("GET", "PUT", "DELETE"):
            says = allowed(preflight(anybody, "/" + digest, "https://any.example", method))
            assert says["Access-Control-Allow-Methods"] == "GET, HEAD"
            assert "authorization" not in says["Access-Control-Allow-Headers"].lower()
            assert "Access-Control-Allow-Credentials" not in says
    for path in ("/upload", "/api/v1/files", f"/api/v1/files/{public['id']}", "/api/v1/me", "/api/v1/keys"):
        assert allowed(preflight(anybody, path, "https://any.example", "GET")) == {}


@pytest.mark.parametrize("given", [OWN_PAGE])
def test_the_pages_of_listed_origins_use_the_api(
    client: FlaskClient, anybody: FlaskClient, given: dict[str, str]
) -> None:
    """An application under another origin could not upload, list or delete although it is listed."""
    for origin in (PAGE, "http://localhost:8080"):
        site = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        for path, methods in (
            ("/upload", {"POST", "PUT"}),
            ("/" + "0" * 64, {"DELETE"}),
            ("/api/v1/files/x", {"PATCH"}),
        ):
            says = allowed(preflight(anybody, path, origin, min(methods)))
            assert says["Access-Control-Allow-Origin"] == origin
            assert methods <= set(says["Access-Control-Allow-Methods"].split(", "))
            wanted = {"authorization", "content-type", "x-sha-256", "range"}
            assert wanted <= set(says["Access-Control-Allow-Headers"].lower().split(", "))
        uploaded = client.post("/upload?name=a&visibility=private", data=b"a", headers=site)
        listed = client.get("/api/v1/files", headers=site)
        mine = client.get("/" + uploaded.get_json()["sha256"], headers=site)
        refused = anybody.get("/api/v1/files", headers=site)
        for answer in (uploaded, listed, mine, refused):
            assert allowed(answer) == {"Access-Control-Allow-Origin": origin}
            assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
            assert "Origin" in answer.headers["Vary"]
        assert client.delete("/" + uploaded.get_json()["sha256"], headers=site).status_code == 200


@pytest.mark.parametrize("given", [OWN_PAGE])
def test_the_pages_of_other_origins_still_do_not(client: FlaskClient, given: dict[str, str]) -> None:
    """To list one origin would admit another: by its scheme, its port, a longer name, or none."""
    stored(client, b"a", name="a")
    for origin in (
        "http://page.example",
        PAGE + ":8443",
        PAGE + ".evil.example",
        "https://evil.example",
        "null",
        PAGE + "/",
    ):
        assert allowed(client.get("/api/v1/files", headers={"Origin": origin})) == {}
        assert allowed(preflight(client, "/upload", origin, "POST")) == {}
        problem(client.post("/upload", data=b"b", headers={"Origin": origin}), 403, "cross_site")
    assert "Origin" in client.get("/api/v1/files").headers["Vary"]
    assert quota(client)["files"] == 1
