"""blobstore that remembers no password, so that argon2 runs at every request: what remembering is worth."""

from __future__ import annotations

from flask import Flask

from blobstore import serve
from blobstore.core.credentials import Credentials


def application() -> Flask:
    """The service, with the memory of its credentials taken away in this process."""
    Credentials._remember = lambda *_args, **_kwargs: None  # type: ignore[method-assign]
    return serve.application()
