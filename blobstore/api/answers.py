"""What an upload is answered: the file as JSON, or for scripts one link or digest and a newline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, jsonify, request
from werkzeug.datastructures import MIMEAccept

from blobstore.api.context import origins, store
from blobstore.api.errors import status_of
from blobstore.api.schemas.files import file_json, url
from blobstore.api.schemas.users import short_quota_json
from blobstore.core import quota
from blobstore.core.gate import Caller
from blobstore.core.upload import Outcome
from blobstore.errors import BadOption, BlobstoreError
from blobstore.failpoints import failpoint


def upload_answer(caller: Caller, outcome: Outcome, values: Mapping[str, str]) -> Response:
    """The answer to one file: 201 when it is new, 200 when it was there. Raises BadOption for a wrong `format`."""
    plain = _plain(values)
    if plain:
        response = _lines([_line(outcome, plain)])
    else:
        response = jsonify(_file(outcome) | {"quota": short_quota_json(quota.read(store(), caller))})
    response.status_code = _status(outcome)
    if response.status_code == 201:
        response.headers["Location"] = f"/{outcome.file.digest}"
    failpoint("before_reply")
    return response


def upload_answers(caller: Caller, outcomes: Sequence[Outcome | BlobstoreError], values: Mapping[str, str]) -> Response:
    """The answer to a form: that of its only file, or all outcomes, 207 when they differ. Raises a lone error."""
    first = outcomes[0]
    if len(outcomes) == 1:
        if isinstance(first, BlobstoreError):
            raise first
        return upload_answer(caller, first, values)
    plain = _plain(values)
    if plain:
        response = _lines([_line(outcome, plain) for outcome in outcomes])
    else:
        numbers = short_quota_json(quota.read(store(), caller))
        response = jsonify({"files": [_each(outcome) for outcome in outcomes], "quota": numbers})
    statuses = {_status(outcome) for outcome in outcomes}
    response.status_code = statuses.pop() if len(statuses) == 1 else 207
    return response


def check_format(values: Mapping[str, str]) -> None:
    """Raise BadOption for a `format` that there is not: before anything is read or stored."""
    _plain(values)


def _plain(values: Mapping[str, str]) -> str | None:
    """`url` or `sha256` when a script asks for one line, else None."""
    wanted = values.get("format")
    if wanted is None and _prefers_text():
        return "url"
    if wanted not in (None, "json", "url", "sha256"):
        raise BadOption("format", "is json, url or sha256")
    return None if wanted == "json" else wanted


def _prefers_text() -> bool:
    """Whether Accept ranks plain text above JSON; parameters of a type, like its charset, say nothing here."""
    ranked = MIMEAccept((kind.partition(";")[0].strip(), q) for kind, q in request.accept_mimetypes)
    return ranked.best_match(["application/json", "text/plain"]) == "text/plain"


def _line(outcome: Outcome | BlobstoreError, plain: str) -> str:
    if isinstance(outcome, BlobstoreError):
        return f"error: {outcome.code}: {outcome.detail}"
    return url(origins(), outcome.file) if plain == "url" else outcome.file.digest.hex


def _lines(lines: Sequence[str]) -> Response:
    return Response("".join(line + "\n" for line in lines), content_type="text/plain; charset=utf-8")


def _status(outcome: Outcome | BlobstoreError) -> int:
    if isinstance(outcome, BlobstoreError):
        return status_of(type(outcome))
    return 201 if outcome.created else 200


def _file(outcome: Outcome) -> dict[str, Any]:
    return file_json(origins(), outcome.file)


def _each(outcome: Outcome | BlobstoreError) -> dict[str, Any]:
    if isinstance(outcome, BlobstoreError):
        members = {name: getattr(outcome, name) for name in outcome.members}
        return {"status": _status(outcome), "code": outcome.code, "detail": outcome.detail, **members}
    return {"status": _status(outcome), **_file(outcome)}
