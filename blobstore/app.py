"""The application: the whole wiring, on one screen. Nothing happens at import."""

from __future__ import annotations

import logging

from flask import Flask

from blobstore.api import (
    admin,
    bans,
    delete,
    descriptions,
    docs,
    download,
    errors,
    events,
    files,
    health,
    keys,
    me,
    metrics,
    overview,
    pages,
    sessions,
    signup,
    tickets,
    upload,
    web,
)
from blobstore.api.context import Parts
from blobstore.core.allowances import Allowances
from blobstore.core.credentials import Credentials
from blobstore.core.health import Readiness
from blobstore.core.store import open_store
from blobstore.core.tally import Tally
from blobstore.errors import Unavailable
from blobstore.settings import Settings
from blobstore.storage import Storage
from blobstore.storage.disk import Disk

BLUEPRINTS = (
    upload.bp,
    download.bp,
    descriptions.bp,
    delete.bp,
    files.bp,
    keys.bp,
    me.bp,
    sessions.bp,
    signup.bp,
    tickets.bp,
    pages.bp,
    admin.bp,
    bans.bp,
    events.bp,
    overview.bp,
    health.bp,
    metrics.bp,
)


def create_app(settings: Settings, storage: Storage | None = None) -> Flask:
    """One application, connected at its first request. Raises SettingsError without a database or a secret.

    It answers 503 for as long as its storage is away: a worker that would not start then ends the whole service.
    """
    settings.require_secret_key()
    store = open_store(settings, storage or _awaited_storage(settings))
    app = Flask("blobstore", template_folder="ui/templates", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    tally = Tally(traffic=settings.audit_traffic)
    credentials = Credentials(store, tally)
    app.extensions["blobstore"] = Parts(store, credentials, Readiness(store), Allowances(store), tally)
    web.register(app, settings)
    errors.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    docs.register(app)
    return app


def _awaited_storage(settings: Settings) -> Storage:
    """The same, whether it is ready yet or not; it makes up for that itself."""
    disk = Disk(settings.store)
    try:
        disk.prepare()
    except Unavailable as error:
        logging.getLogger(__name__).error("the store cannot be used: %s", error.explained)  # noqa: TRY400
    return disk
