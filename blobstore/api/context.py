"""What a route is given: the parts of this application, made once by create_app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flask import current_app, request

from blobstore.api.body import WholeBodies
from blobstore.core.allowances import Allowances
from blobstore.core.counters import DownloadCounters
from blobstore.core.credentials import Credentials
from blobstore.core.health import Readiness
from blobstore.core.store import Store
from blobstore.core.tally import Tally


@dataclass(frozen=True)
class Parts:
    """The store, and what one worker remembers."""

    store: Store
    credentials: Credentials
    readiness: Readiness
    allowances: Allowances
    tally: Tally
    downloads: DownloadCounters = field(default_factory=DownloadCounters)
    whole_bodies: WholeBodies = field(default_factory=WholeBodies)


def parts() -> Parts:
    """The parts of the application that handles this request."""
    return cast("Parts", current_app.extensions["blobstore"])


def store() -> Store:
    """The store behind this request."""
    return parts().store


@dataclass(frozen=True)
class Origins:
    """What links start with, without a slash at the end: those of the service, and those to contents."""

    service: str
    content: str


def origins() -> Origins:
    """BASE_URL, else the request's own scheme and host; contents may have an origin of their own."""
    settings = store().settings
    service = settings.base_url or _origin()
    return Origins(service, settings.content_origin or service)


def shows_content() -> bool:
    """Whether strangers' content may be shown by a browser at this request's origin, rather than only saved."""
    return store().settings.content_origin in (None, _origin())


def _origin() -> str:
    # Not request.host_url: that is empty for a host with an underscore, as containers have. The door checked it.
    return f"{request.scheme}://{request.environ['HTTP_HOST']}"
