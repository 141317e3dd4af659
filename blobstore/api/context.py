"""What a route is given: the parts of this application, made once by create_app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flask import current_app, request

from blobstore.core.counters import DownloadCounters
from blobstore.core.credentials import Credentials
from blobstore.core.store import Store


@dataclass(frozen=True)
class Parts:
    """The store, and what one worker remembers."""

    store: Store
    credentials: Credentials
    downloads: DownloadCounters = field(default_factory=DownloadCounters)


def parts() -> Parts:
    """The parts of the application that handles this request."""
    return cast("Parts", current_app.extensions["blobstore"])


def store() -> Store:
    """The store behind this request."""
    return parts().store


def base_url() -> str:
    """What links start with: BASE_URL, else the request's own scheme and host; without a slash at the end."""
    # Not request.host_url: that is empty for a host with an underscore, as containers have. The door checked it.
    return store().settings.base_url or f"{request.scheme}://{request.environ['HTTP_HOST']}"
