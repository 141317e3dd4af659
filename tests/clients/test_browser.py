"""Swagger UI in a real browser, against a real service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response

from blobstore.core import keys
from blobstore.core.accounts import Account
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.settings import Settings
from tests import live
from tests.clients.conftest import GUARD_MILLISECONDS, needs_browser
from tests.conftest import PASSWORD, SECRET_KEY

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error("violates " + event.violatedDirective + ": " + event.blockedURI));
"""
CONTENT = bytes(range(256)) * 100
"""Of no text and no picture: every byte there is."""

pytestmark = needs_browser


@dataclass
class Watched:
    """A page of the browser, what it asked for, and what it complained about."""

    page: Page
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(GUARD_MILLISECONDS)
        self.page.add_init_script(REPORT_VIOLATIONS)
        self.page.on("request", self._note)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, request: Request) -> None:
        self.requests.append(request)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(request.url).netloc for request in self.requests if not request.url.startswith("blob:")}

    def log_in(self, scheme: str, **values: str) -> None:
        """Use the dialog behind `Authorize`; without values log out."""
        self.page.locator("button.authorize").first.click()
        form = self.page.locator(".auth-container", has=self.page.locator("code", has_text=scheme))
        for name, value in values.items():
            form.locator(f"input[name={name}], input[type={name}]").first.fill(value)
        form.get_by_role("button", name="Apply credentials" if values else "Remove authorization").click()
        self.page.locator(".modal-ux .close-modal").click()

    def open(self, operation: str) -> Locator:
        """Unfold a call, by its tag and operationId, and press `Try it out`."""
        call = self.page.locator(f"#operations-{operation}")
        call.locator(".opblock-summary-control").click()
        call.locator(".try-out__btn").click()
        return call

    def execute(self, call: Locator) -> Response:
        """Press `Execute`; the answer, when the page shows its status."""
        with self.page.expect_response(lambda answer: urlsplit(answer.url).path != "/docs/favicon-32x32.png") as answer:
            call.locator("button.execute").click()
        shown = call.locator(".live-responses-table .response-col_status").nth(1)
        shown.get_by_text(str(answer.value.status)).wait_for()
        return answer.value


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the service."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def settings(database_url: str, data: Path) -> Settings:
    """The settings of the service, with nothing of an earlier test in its database and folder."""
    for blob in data.glob("store/??/*"):
        blob.unlink()
    return load({"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}, None)


@pytest.fixture(scope="module")
def service(migrated_url: str, data: Path) -> Iterator[live.Service]:
    """A running service."""
    with live.service(data, migrated_url) as running:
        yield running


@pytest.fixture
def watched(chromium: Browser, service: live.Service, store: Store) -> Iterator[Watched]:
    """A page with no memory of earlier ones; nothing is stored and nobody has an account."""
    with chromium.new_context(viewport={"width": 1200, "height": 1400}) as context:
        yield Watched(context.new_page())


def test_a_person_uses_the_service_from_its_documentation(
    watched: Watched, service: live.Service, store: Store, user: Account, tmp_path: Path
) -> None:
    """`Try it out` would not upload, download or list, or the page would need or tell another host."""
    page = watched.page
    page.goto(service.url + "/")
    page.get_by_role("button", name="Authorize").wait_for()
    assert page.url == service.url + "/docs"

    watched.log_in("basic", username=user.name, password=PASSWORD)
    upload = watched.open("Upload-upload")
    upload.locator("input[type=file]").set_input_files(
        {"name": "everything.bin", "mimeType": "application/octet-stream", "buffer": CONTENT}
    )
    uploaded = watched.execute(upload)
    assert uploaded.status == 201
    assert uploaded.request.headers["authorization"].startswith("Basic ")
    sha256 = uploaded.json()["sha256"]
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    upload.get_by_text("everything.bin").first.wait_for()

    download = watched.open("Download-download")
    download.locator("tr[data-param-name=sha256] input").fill(sha256)
    assert watched.execute(download).status == 200
    with page.expect_download() as saved:
        download.get_by_role("link", name="Download file").click()
    assert Path(saved.value.path()).read_bytes() == CONTENT

    watched.log_in("basic")
    _, key = keys.issue(store, user.id, "for the page", [Scope.READ])
    watched.log_in("bearer", text=key)
    listing = watched.open("Files-list_files")
    listed = watched.execute(listing)
    assert listed.status == 200
    assert listed.request.headers["authorization"] == f"Bearer {key}"
    assert [item["name"] for item in listed.json()["items"]] == ["everything.bin"]
    page.screenshot(path=tmp_path / "docs.png")

    assert watched.complaints == []
    assert watched.hosts == {urlsplit(service.url).netloc}


def test_a_call_without_credentials_opens_no_dialog(watched: Watched, service: live.Service) -> None:
    """The browser would cover the page with its own login, instead of showing what the service answers."""
    watched.page.goto(service.url + "/docs")
    answer = watched.execute(watched.open("You-get_me"))
    assert answer.status == 401
    assert answer.all_headers()["www-authenticate"] == 'Bearer realm="blobstore"'
    watched.page.get_by_text("invalid_credentials").first.wait_for()


def test_a_page_of_another_site_changes_nothing(watched: Watched, service: live.Service) -> None:
    """Any page that a person visits could use the login that his browser remembers."""
    page = watched.page
    page.goto(f"http://localhost:{service.port}/health")
    with page.expect_response(f"{service.url}/upload") as answer:
        page.evaluate("url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'})", f"{service.url}/upload")
    assert answer.value.status == 403


def test_a_person_logs_in_for_a_token(watched: Watched, service: live.Service, user: Account) -> None:
    """A login token would be refused where `Authorize` asks for it, or the page show a login that does not work."""
    watched.page.goto(service.url + "/docs")
    login = watched.open("Login-log_in")
    login.locator("textarea").first.fill(json.dumps({"username": user.name, "password": PASSWORD}))
    token = watched.execute(login).json()["access_token"]
    watched.log_in("bearer", text=token)
    listed = watched.execute(watched.open("Login-list_sessions"))
    assert (listed.status, [item["present"] for item in listed.json()["items"]]) == (200, [True])
    assert watched.execute(watched.open("Login-log_out")).status == 204
    assert watched.execute(watched.open("You-get_me")).status == 401
    assert watched.hosts == {urlsplit(service.url).netloc}
