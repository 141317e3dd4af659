"""The pages behind the links of mails, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from blobstore.core import accounts, new_email, tickets
from blobstore.core.accounts import Account
from blobstore.core.actor import OPERATOR
from blobstore.core.credentials import Credentials
from blobstore.core.letters import link
from blobstore.core.store import Store
from blobstore.core.tickets import Purpose
from blobstore.errors import Unauthenticated
from tests.clients.conftest import GUARD_MILLISECONDS, needs_browser
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.live import Service

pytestmark = needs_browser


@pytest.fixture
def page(chromium: Browser) -> Page:
    """A page with no memory of earlier ones."""
    page = chromium.new_page()
    page.set_default_timeout(GUARD_MILLISECONDS)
    return page


def test_a_person_verifies_an_address(page: Page, live: Service, store: Store, user: Account) -> None:
    """Nobody could use the link of the mail; or whatever fetches it would verify in his place."""
    new_email.set_email(store, user.name, "me@files.example", OPERATOR)
    ticket, _ = tickets.issue(store, user.name, Purpose.EMAIL)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link(live.url, Purpose.EMAIL, ticket))
    assert page.url == f"{live.url}/auth/email"
    assert not accounts.get(store, user.name).verified
    page.get_by_role("button", name="Verify").click()
    page.get_by_text("Your e-mail address is verified").wait_for()
    assert accounts.get(store, user.name).verified
    assert ticket not in "".join(url.partition("#")[0] for url in asked)
    assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{live.port}"}


def test_a_person_sets_a_password(page: Page, live: Service, store: Store, user: Account) -> None:
    """Who has lost his password would get a link that leads nowhere, or not learn why it does not work."""
    ticket, _ = tickets.issue(store, user.name)
    for shown in ("Your password is changed", "this ticket is not valid"):
        page.goto("about:blank")
        page.goto(link(live.url, Purpose.PASSWORD, ticket))
        page.get_by_label("New password").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Set password").click()
        page.get_by_text(shown).wait_for()
    assert Credentials(store).by_password("me", NEW_PASSWORD, "a").name == "me"
    with pytest.raises(Unauthenticated):
        Credentials(store).by_password("me", PASSWORD, "b")
