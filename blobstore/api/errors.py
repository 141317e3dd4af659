"""Errors over HTTP: which status each class of the domain has, in one table, and the problem document (RFC 9457)."""

from __future__ import annotations

import json
import logging
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from blobstore import errors
from blobstore.api.context import origins
from blobstore.api.phrases import phrase
from blobstore.errors import BlobstoreError
from blobstore.shortage import is_shortage

STATUS: dict[type[BlobstoreError], int] = {
    errors.Invalid: 400,
    errors.UnknownField: 422,
    errors.BadUserName: 422,
    errors.LengthRequired: 411,
    errors.UnsupportedMediaType: 415,
    errors.UnsupportedContentEncoding: 415,
    errors.UnsupportedTransferCoding: 501,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.ContentBanned: 451,
    errors.Conflict: 409,
    errors.LimitExceeded: 413,
    errors.TooManyAttempts: 429,
    errors.TooManyRequests: 429,
    errors.TooManyBodies: 429,
    errors.TooSlow: 408,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
    errors.BlobMissing: 503,
}
"""A class that is not here has the status of its nearest ancestor."""

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 500: "internal_error"}
_DETAILS = {
    404: "there is nothing at this address; /docs has all that there are",
    405: "this address does not take this method; Allow names those that it takes",
}
_log = logging.getLogger(__name__)


def status_of(kind: type[BlobstoreError]) -> int:
    """The status of an error class. Raises LookupError when neither it nor an ancestor is in the table."""
    for ancestor in kind.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    raise LookupError(kind.__name__)


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    """A problem document."""
    request.environ["blobstore.code"] = code
    document = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request.environ.get("blobstore.request_id", ""),
        **members,
    }
    return Response(
        json.dumps(document, ensure_ascii=False) + "\n",
        status,
        {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        content_type="application/problem+json",
    )


def register(app: Flask) -> None:
    """Make every error of this application a problem document."""
    app.register_error_handler(BlobstoreError, _of_domain)
    app.register_error_handler(HTTPException, _of_framework)
    app.register_error_handler(Exception, _unexpected)


def _of_domain(error: BlobstoreError) -> Response:
    status = status_of(type(error))
    for note in error.notes:
        _log.error(note, extra={"request_id": request.environ.get("blobstore.request_id", "")})
    members = {name: getattr(error, name) for name in error.members}
    response = problem(status, error.code, error.detail, **members)
    if isinstance(error, errors.Unauthenticated):
        _challenge(response, by_name=error.by_name)
    if status == 451:
        response.headers["Link"] = f'<{origins().service}>; rel="blocked-by"'  # RFC 7725, section 4
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _challenge(response: Response, *, by_name: bool) -> None:
    """Bearer, and Basic where it would do; to a browser's own fetch only Bearer, so that no dialog pops up."""
    response.headers.add("WWW-Authenticate", 'Bearer realm="blobstore"')
    if by_name and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        response.headers.add("WWW-Authenticate", 'Basic realm="blobstore", charset="UTF-8"')


def _of_framework(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(status=status, headers=error.get_headers(request.environ))
    code = _CODES.get(status, phrase(status).lower().replace(" ", "_"))
    response = problem(status, code, _DETAILS.get(status) or error.description or "")
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _unexpected(error: Exception) -> Response:
    if is_shortage(error):
        return _of_domain(errors.Busy("there is no room for this request beside the others"))
    _log.error("unexpected error", exc_info=error, extra={"request_id": request.environ.get("blobstore.request_id")})
    return problem(500, "internal_error", "an error of ours; the request_id finds it in the log")
