"""Upload: POST /upload, PUT /upload/<path>, PUT /<sha256>, HEAD /upload."""

from __future__ import annotations

from contextlib import ExitStack

from flask import Blueprint, Response, request

from blobstore.api import auth, body, declared, options
from blobstore.api.answers import check_format, upload_answer, upload_answers
from blobstore.api.context import parts, store
from blobstore.api.schemas.files import UploadJson
from blobstore.core import banned, receive, upload
from blobstore.core.files import Changes
from blobstore.core.gate import Caller, Scope, check_folder
from blobstore.core.names import parse_name, parse_path
from blobstore.digest import Digest
from blobstore.errors import (
    BadOption,
    BlobstoreError,
    ContentBanned,
    InsufficientScope,
    LimitExceeded,
    MissingFile,
    QuotaExceeded,
    UnsupportedMediaType,
)

bp = Blueprint("upload", __name__)

PARAMETERS = (*options.FIELDS, "format")
MAX_BASE64_BYTES = 16 << 20
MAX_JSON_BYTES = MAX_BASE64_BYTES * 4 // 3 + (64 << 10)
FORM_SLACK_BYTES = 1 << 20
"""More than a form's own bytes around its files: 100 fields, 100 part headers, the boundaries."""


@bp.post("/upload")
def post() -> Response:
    """A form, JSON with base64, or the raw body."""
    caller = auth.owner(Scope.WRITE)
    kind = request.mimetype
    if kind == "multipart/form-data":
        return _form(caller)
    if kind == "application/json":
        return _json(caller)
    if kind == "application/x-www-form-urlencoded":
        raise UnsupportedMediaType(
            "send the file itself: curl -F file=@x …/upload, or curl --data-binary @x -H 'Content-Type: "
            "application/octet-stream' …/upload"
        )
    return _raw(caller, Changes())


@bp.put("/upload", strict_slashes=False)
@bp.put("/upload/")
@bp.put("/upload/<rest:path>")
def put(path: str = "") -> Response:
    """The raw body; the path is its folder and name, as `curl -T x …/upload/` sends it."""
    caller = auth.owner(Scope.WRITE)
    named = Changes()
    if path:
        folder, named["name"] = parse_path(path)
        if folder:
            named["folder"] = folder
    return _raw(caller, named)


@bp.put("/<digest:digest>")
def put_digest(digest: Digest) -> Response:
    """The raw body, which must have this digest."""
    caller = auth.owner(Scope.WRITE)
    return _raw(caller, Changes(), digest)


@bp.route("/upload", methods=["HEAD"])
def head() -> Response:
    """What an upload with these headers would be answered, without its body."""
    caller = auth.owner(Scope.WRITE)
    digest, size_bytes = declared.preflight(request.headers)
    if not (digest and upload.is_held(store(), caller, digest)):
        receive.check_room(store(), caller, receive.Announced.exactly(size_bytes))
    return Response(status=200)


def _options(caller: Caller, named: Changes) -> tuple[dict[str, str], Changes]:
    """The query, and what it and the path say of the file: what is wrong with it is told before the body is read."""
    values = options.query(*PARAMETERS)
    check_format(values)
    given: Changes = {**named, **options.changes(values)}
    check_folder(caller, given.get("folder", caller.folder))
    return values, given


def _raw(caller: Caller, named: Changes, digest: Digest | None = None) -> Response:
    if request.mimetype == "multipart/form-data":
        raise UnsupportedMediaType("a form is sent with POST: curl -F file=@x …/upload; with PUT the body is the file")
    if "Content-Range" in request.headers:
        raise BadOption("Content-Range", "a part of a file cannot be uploaded here (RFC 9110, 14.5); send it whole")
    values, given = _options(caller, named)
    outcome = upload.upload(
        store(),
        caller,
        body.raw(request.environ),
        given,
        declared=declared.digest(request.headers, digest),
        size_bytes=body.length(request.environ),
    )
    return upload_answer(caller, outcome, values)


def _json(caller: Caller) -> Response:
    values, _ = _options(caller, Changes())
    _refuse_declared()
    size = body.length(request.environ)
    receive.check_room(store(), caller, receive.Announced.within((size or 0) * 3 // 4, 64 << 10))
    with parts().whole_bodies.holding(MAX_JSON_BYTES if size is None else min(size, MAX_JSON_BYTES)):
        wanted = UploadJson.read(body.json_object(request.environ, MAX_JSON_BYTES)).model_dump(exclude_unset=True)
        content = body.decode_base64(wanted.pop("data"), MAX_BASE64_BYTES)
        digest = declared.one(request.headers, wanted.pop("sha256", None))
        given: Changes = {**options.changes(values), **options.changes_from_json(wanted)}
        receive.check_room(store(), caller, receive.Announced.exactly(len(content)))
        with receive.receive(store(), caller, [content], digest) as received:
            outcome = upload.keep(store(), caller, received, given)
    return upload_answer(caller, outcome, values)


def _form(caller: Caller) -> Response:
    """Every file is staged first; nothing is stored before the closing boundary was seen."""
    values, _ = _options(caller, Changes())
    _refuse_declared()
    announced = receive.Announced.within(body.length(request.environ), FORM_SLACK_BYTES)
    receive.check_room(store(), caller, announced, files=body.MAX_FILES)
    with ExitStack() as staged:
        names, received, fields = _receive_form(caller, staged)
        values.update(fields)
        digest = declared.one(request.headers, values.pop("sha256", None))
        if (digest or "name" in values) and len(received) > 1:
            raise BadOption("sha256" if digest else "name", "goes with one file only")
        if isinstance(received[0], receive.Received):
            declared.compare(digest, received[0].digest)
        given = options.changes(values)
        named: list[Changes] = [{"name": name, **given} if name else given for name in names]
        outcomes = [_keep(caller, one, changes) for one, changes in zip(received, named, strict=True)]
    return upload_answers(caller, outcomes, values)


def _refuse_declared() -> None:
    """A content that is named in a header, of a body that has more than the content. Raises ContentBanned."""
    if digest := declared.one(request.headers, None):
        banned.refuse(store(), digest)


def _receive_form(
    caller: Caller, staged: ExitStack
) -> tuple[list[str], list[receive.Received | LimitExceeded], dict[str, str]]:
    names: list[str] = []
    received: list[receive.Received | LimitExceeded] = []
    fields: dict[str, str] = {}
    for part in body.parts(request.environ):
        if isinstance(part, body.Field):
            _add_field(fields, part)
        elif part.name == "file" and part.filename:
            names.append(parse_name(part.filename))
            received.append(_receive_part(caller, part, staged))
        else:
            raise MissingFile("every file is a part named 'file' with a filename: curl -F file=@x …/upload")
    if not received:
        raise MissingFile("the form has no part named 'file' with a filename: curl -F file=@x …/upload")
    return names, received, fields


def _receive_part(caller: Caller, part: body.FilePart, staged: ExitStack) -> receive.Received | LimitExceeded:
    """One file of the form; what is over the quota is read to its end and dropped, for others may follow."""
    try:
        return staged.enter_context(receive.receive(store(), caller, part.pieces))
    except QuotaExceeded as error:
        for _ in part.pieces:
            pass
        return error


def _add_field(fields: dict[str, str], part: body.Field) -> None:
    if part.name == "file":
        raise MissingFile("the part 'file' has no filename: curl -F file=@x …/upload")
    if part.name not in (*options.FIELDS, "sha256"):
        raise BadOption(part.name, "there is no such field here; known are: " + ", ".join(options.FIELDS))
    if part.name in fields:
        raise BadOption(part.name, "is given more than once")
    fields[part.name] = part.value


def _keep(
    caller: Caller, received: receive.Received | LimitExceeded, given: Changes
) -> upload.Outcome | BlobstoreError:
    """One file's own outcome: the rules may refuse one of several. What is on our side fails the whole request."""
    if isinstance(received, LimitExceeded):
        return received
    try:
        return upload.keep(store(), caller, received, given)
    except (LimitExceeded, InsufficientScope, ContentBanned) as error:
        return error
