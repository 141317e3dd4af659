"""The application: the whole wiring, on one screen. Nothing happens at import."""

from __future__ import annotations

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
    overview,
    sessions,
    upload,
    web,
)
from blobstore.api.context import Parts
from blobstore.core.credentials import Credentials
from blobstore.core.store import Store
from blobstore.core.tally import Tally
from blobstore.database import Database
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
    admin.bp,
    bans.bp,
    events.bp,
    overview.bp,
    health.bp,
)


def create_app(settings: Settings, storage: Storage | None = None) -> Flask:
    """One application, connected at its first request. Raises SettingsError without a database or a secret."""
    settings.require_secret_key()
    store = open_store(settings, storage)
    app = Flask("blobstore", template_folder="ui/templates", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    tally = Tally(traffic=settings.audit_traffic)
    app.extensions["blobstore"] = Parts(store, Credentials(store, tally), tally)
    web.register(app, settings)
    errors.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    docs.register(app)
    return app


def open_store(settings: Settings, storage: Storage | None = None) -> Store:
    """The settings, database and storage that every use case is given. Raises SettingsError without a database."""
    return Store(settings, Database(settings.require_database(), settings), storage or open_storage(settings))


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name, ready for use."""
    disk = Disk(settings.store)
    disk.prepare()
    return disk
