"""Every error is a problem document with a stable code, and tells nothing of our insides."""

from __future__ import annotations

import errno
import importlib
import json
import pkgutil
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

import blobstore
from blobstore import errors, refusals
from blobstore.api.errors import STATUS, status_of
from blobstore.core import files
from blobstore.errors import BlobstoreError
from tests.api.wire import problem

WIRE = {
    "bad_request": 400, "bad_digest": 400, "bad_name": 400, "bad_text": 400, "bad_encoding": 400, "bad_expires": 400,
    "bad_option": 400, "bad_host": 400, "bad_cursor": 400, "bad_json": 400, "bad_base64": 400, "bad_multipart": 400,
    "missing_file": 400, "too_many_files": 400, "incomplete_body": 400, "bad_chunk": 400, "unknown_field": 422,
    "bad_user_name": 422, "length_required": 411, "unsupported_transfer_coding": 501, "unsupported_media_type": 415,
    "unsupported_content_encoding": 415, "invalid_credentials": 401, "forbidden": 403, "cross_site": 403,
    "insufficient_scope": 403, "outside_folder": 403, "password_required": 403, "bad_signature": 403,
    "registration_closed": 403, "email_not_allowed": 403, "email_unverified": 403, "mail_disabled": 403,
    "not_found": 404, "content_banned": 451, "conflict": 409, "digest_mismatch": 409, "already_exists": 409,
    "already_rotated": 409, "last_admin": 409,
    "limit_exceeded": 413, "file_too_large": 413, "quota_exceeded": 413, "body_too_large": 413,
    "form_too_large": 413, "too_many_attempts": 429, "too_many_requests": 429, "too_many_bodies": 429,
    "too_slow": 408, "unavailable": 503, "busy": 503, "database_unavailable": 503, "storage_unavailable": 503,
    "blob_refused": 503, "content_damaged": 503, "upload_lost": 503, "storage_full": 507,
}  # fmt: skip
"""What clients depend on: each code and its status."""


def kinds(kind: type[BlobstoreError] = BlobstoreError) -> Iterator[type[BlobstoreError]]:
    """Every class below `kind`."""
    for child in kind.__subclasses__():
        yield child
        yield from kinds(child)


def test_every_error_has_its_status() -> None:
    """A new error would be a 500, or an old code would change its status or vanish under a client."""
    for module in pkgutil.walk_packages(blobstore.__path__, "blobstore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = list(kinds())
    assert set(STATUS) <= set(found)
    for kind in found:
        assert (kind.code, status_of(kind)) in WIRE.items(), kind
    assert {kind.code for kind in found} == set(WIRE)
    with pytest.raises(LookupError):
        status_of(BlobstoreError)


def test_errors_of_the_router(client: FlaskClient) -> None:
    """A client would have to read HTML when it mistypes a path or a method (case 110)."""
    digest = "0" * 64
    for path in ("/nowhere", "/api/v1/nothing", "/static/x", "/api/v1/files/a/b/c", "/.env", "/upload.php", "/files"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            problem(client.open(path, method=method), 404, "not_found")
    for method, path, allowed in [
        ("GET", "/upload", "HEAD, OPTIONS, POST, PUT"),
        ("POST", f"/{digest}", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("TRACE", f"/{digest}", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("FOO", "/api/v1/me", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("DELETE", "/api/v1/me/quota", "GET, HEAD, OPTIONS"),
    ]:
        answer = client.open(path, method=method)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == allowed
    options = client.options("/upload")
    assert (options.status_code, sorted(options.headers["Allow"].split(", "))) == (
        200,
        ["HEAD", "OPTIONS", "POST", "PUT"],
    )
    override = client.post("/upload", data=b"x", headers={"X-HTTP-Method-Override": "DELETE"})
    assert override.status_code == 201


def test_our_own_failure_tells_nothing(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error page would show a stack, a path or a password; or nobody could find it in the log."""

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("secret=hunter2 in /var/lib/blobstore")

    monkeypatch.setattr(files, "page", fails)
    answer = client.get("/api/v1/files", headers={"X-Request-ID": "find-me"})
    found = problem(answer, 500, "internal_error")
    assert found["request_id"] == "find-me"
    for inside in ("hunter2", "Traceback", "RuntimeError", "/var", ".py", "blobstore/"):
        assert inside not in answer.text
    assert any(getattr(record, "request_id", "") == "find-me" and record.exc_info for record in caplog.records)


def test_an_error_of_ours_names_when_to_come_back(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client would hammer a service that is in trouble, or give up on one that is back in two seconds."""
    for kind, seconds in ((errors.DatabaseUnavailable, "2"), (errors.StorageFull, "60"), (errors.Busy, "2")):

        def fails(*_: object, kind: type[BlobstoreError] = kind, **__: object) -> None:
            raise kind("gone")

        monkeypatch.setattr(files, "page", fails)
        answer = client.get("/api/v1/files")
        problem(answer, WIRE[kind.code], kind.code)
        assert answer.headers["Retry-After"] == seconds


def test_every_error_that_passes_says_when_to_come_back() -> None:
    """Clients would hammer a service that is in trouble, each at a pace of its own."""
    passing = [kind for kind in kinds() if status_of(kind) in (429, 503, 507)]
    assert len(passing) > 8
    # What is not set on the class is given to each.
    given = {errors.TooManyAttempts(7), errors.TooManyRequests(7)}
    assert {kind for kind in passing if not hasattr(kind, "retry_after_seconds")} == set(map(type, given))
    assert {error.retry_after_seconds for error in given} == {7}
    told = [one for one in vars(refusals).values() if isinstance(one, refusals.Refusal)]
    told += [refusals.refusal_of(errors.TooManyBodies("too many"))]
    assert {one.status.value for one in told if one.retry_after_seconds} == {
        one.status.value for one in told if one.status in (429, 503, 507)
    }


def test_a_shortage_is_no_error_of_ours(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails only because of all the other requests would not be repeated."""

    def opens_one_too_many(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    for lacks in (lambda *_, **__: bytearray(1 << 62), opens_one_too_many):
        monkeypatch.setattr(files, "page", lacks)
        answer = client.get("/api/v1/files")
        problem(answer, 503, "busy")
        assert answer.headers["Retry-After"] == "2"


def test_the_request_id(client: FlaskClient, anybody: FlaskClient) -> None:
    """A request could not be followed through the logs; or a client could write into them."""
    for sane in ("a", "0af7651916cd43dd8448eb211c80319c", "00-ab.cd_1:2/3+4=", "x" * 128):
        for path in ("/health", "/nowhere", "/api/v1/me"):
            assert anybody.get(path, headers={"X-Request-ID": sane}).headers["X-Request-ID"] == sane
    made = set()
    for unsound in ("", " ", "a b", "x" * 129, "é", '"', "a;b", "<script>"):
        made.add(anybody.get("/health", headers={"X-Request-ID": unsound}).headers["X-Request-ID"])
    assert len(made) == 8
    assert all(len(own) == 16 and int(own, 16) >= 0 for own in made)
    refused = anybody.get("/health", headers={"Host": "a@b", "X-Request-ID": "mine"})
    assert problem(refused, 400, "bad_host")["request_id"] == "mine"


def test_problems_are_utf_8_json(client: FlaskClient) -> None:
    """A detail with an umlaut could not be read."""
    answer = client.get("/api/v1/files?größe=1")
    found = problem(answer, 400, "bad_option")
    assert json.loads(answer.data.decode())["field"] == found["field"] == "größe"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
