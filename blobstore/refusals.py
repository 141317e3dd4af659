"""What the server itself answers, before or instead of the application: a problem document (RFC 9457), and the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from gunicorn.http import errors as http
from gunicorn.util import http_date

from blobstore.api.phrases import phrase
from blobstore.errors import BlobstoreError, Invalid, TooManyBodies, TooSlow
from blobstore.shortage import is_shortage


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the server: `detail` never repeats what the client sent."""

    status: HTTPStatus
    code: str
    detail: str
    retry_after_seconds: int | None = None

    def encode(self, *, with_body: bool = True) -> tuple[bytes, str]:
        """The whole response, and the request id in it."""
        request_id = uuid4().hex
        body = json.dumps(
            {
                "type": "about:blank",
                "title": phrase(self.status),
                "status": self.status.value,
                "detail": self.detail,
                "code": self.code,
                "request_id": request_id,
            }
        ).encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {phrase(self.status)}",
            f"Date: {http_date()}",
            "Connection: close",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            f"X-Request-ID: {request_id}",
        ]
        if self.retry_after_seconds is not None:
            lines.append(f"Retry-After: {self.retry_after_seconds}")
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        return head + body if with_body else head, request_id


HEAD_TOO_SLOW: Final = Refusal(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "the head of the request did not arrive in time")
CROWDED: Final = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "too_many_connections", "too many connections from this address; close some", 5
)
BROKEN: Final = Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "this is not a request of HTTP/1.1 (RFC 9112)")
NO_ROOM: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "busy", "there is no room for this request beside the others", 2
)
FAILED: Final = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the server failed; the log says why")

_BY_ERROR: Final[dict[type[BaseException], Refusal]] = {
    http.LimitRequestLine: Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "the request line is too long"),
    http.LimitRequestHeaders: Refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "too many header fields, or too large ones"
    ),
    http.UnsupportedTransferCoding: Refusal(
        HTTPStatus.NOT_IMPLEMENTED, "unsupported_transfer_coding", "the only Transfer-Encoding is chunked"
    ),
    http.ExpectationFailed: Refusal(
        HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "the only expectation is 100-continue"
    ),
    http.NoMoreData: Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "the head of the request is incomplete"),
}


def refusal_of(error: BaseException) -> Refusal:
    """What a client is told of `error`; FAILED for what is not the client's doing."""
    if isinstance(error, http.InvalidHTTPVersion) and isinstance(error.version, tuple):
        return Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http_version", "this server speaks HTTP/1.1 and 1.0")
    if isinstance(error, BlobstoreError):
        return _of_domain(error)
    if is_shortage(error):
        return NO_ROOM
    if isinstance(error, http.ConfigurationProblem | http.InvalidResponseHeader | http.InvalidResponseHeaderName):
        return FAILED
    found = _BY_ERROR.get(type(error))
    return found or (BROKEN if isinstance(error, http.ParseException) else FAILED)


def _of_domain(error: BlobstoreError) -> Refusal:
    if isinstance(error, TooManyBodies):
        return Refusal(HTTPStatus.TOO_MANY_REQUESTS, error.code, error.detail, error.retry_after_seconds)
    if isinstance(error, TooSlow):
        return Refusal(HTTPStatus.REQUEST_TIMEOUT, error.code, error.detail)
    if isinstance(error, Invalid):
        return Refusal(HTTPStatus.BAD_REQUEST, error.code, error.detail)
    return FAILED
