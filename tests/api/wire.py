"""What the tests of the interface send, and how they read what comes back."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blobstore.api.phrases import phrase

BOUNDARY = "----8f2c"
EMPTY: dict[str, Any] = {"data": b"", "environ_overrides": {"CONTENT_LENGTH": "0"}}
"""An empty body that says so, as the keywords of a request."""
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def sha256(content: bytes) -> str:
    """The digest in hex."""
    return hashlib.sha256(content).hexdigest()


def repr_digest(content: bytes) -> str:
    """The digest as RFC 9530 writes it."""
    return f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"


def form(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """A form of (name, filename or None, content), as the keywords of a request."""
    body = b""
    for name, filename, content in parts:
        more = "" if filename is None else f'; filename="{filename}"'
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return {"data": body + f"--{BOUNDARY}--\r\n".encode(), "headers": FORM}


def stored(client: FlaskClient, content: bytes = b"hello", **options: Any) -> dict[str, Any]:
    """Upload; the file as it was answered."""
    response = client.post("/upload", data=content, query_string=options)
    assert response.status_code in (200, 201), response.text
    found: dict[str, Any] = response.get_json()
    return found


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document, after its shape and what goes with it were checked."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = response.get_json(force=True)
    assert found["code"] == code
    assert found["status"] == status
    assert found["type"] == "about:blank"
    assert found["title"] == phrase(status)
    assert found["request_id"] == response.headers["X-Request-ID"]
    return found


def quota(client: FlaskClient) -> dict[str, Any]:
    """The caller's numbers."""
    found: dict[str, Any] = client.get("/api/v1/me/quota").get_json()
    return found


class Untouchable:
    """A body that must not be read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("the body was read")

    readline = readlines = read


def unread(length: int) -> dict[str, Any]:
    """A body of so many bytes that fails the request when it is read."""
    return {"environ_overrides": {"wsgi.input": Untouchable(), "CONTENT_LENGTH": str(length)}}
