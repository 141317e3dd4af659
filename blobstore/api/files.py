"""Files: GET /api/v1/files, GET, PATCH and DELETE of one, its content, and the short link GET /s/<id>."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as WsgiResponse

from blobstore.api import auth, body, options
from blobstore.api.context import origins, store
from blobstore.api.download import answer
from blobstore.api.schemas.base import moment
from blobstore.api.schemas.files import FileChange, deleted_json, file_json, page_json, public_json
from blobstore.core import delete, download, files, links
from blobstore.core.gate import Caller, Scope, owns
from blobstore.core.names import parse_folder
from blobstore.digest import Digest
from blobstore.errors import BadOption, BadSignature

bp = Blueprint("files", __name__)


@bp.get("/api/v1/files")
def page() -> Response:
    """The caller's files, newest first, a page at a time."""
    caller = auth.owner(Scope.READ)
    values = options.query("limit", "cursor", "folder", "recursive", "sha256", "visibility", "tag", "q")
    found = files.page(store(), caller, _filters(values), limit=options.limit(values), cursor=values.get("cursor"))
    return jsonify(page_json(origins(), found))


@bp.get("/api/v1/files/<id:file_id>")
def get(file_id: str) -> Response:
    """One file of the caller's, or what others may know of a public one."""
    caller = auth.owner(Scope.READ)
    file = files.get(store(), caller, file_id)
    shape = file_json if owns(caller, file) else public_json
    return jsonify(shape(origins(), file))


@bp.patch("/api/v1/files/<id:file_id>")
def patch(file_id: str) -> Response:
    """Change the name, the folder, the visibility, the expiry or the tags."""
    caller = auth.owner(Scope.WRITE)
    wanted = FileChange.read(body.json_object(request.environ)).model_dump(exclude_unset=True)
    return jsonify(file_json(origins(), files.change(store(), caller, file_id, options.changes_from_json(wanted))))


@bp.delete("/api/v1/files/<id:file_id>")
def delete_file(file_id: str) -> Response:
    """Delete one file; the bytes go when nobody has them any more."""
    caller = auth.owner(Scope.DELETE)
    dry_run = options.flag(options.query("dry_run"), "dry_run")
    return jsonify(deleted_json(delete.delete_file(store(), caller, file_id, dry_run=dry_run)))


@bp.get("/api/v1/files/<id:file_id>/download")
def content(file_id: str) -> Response:
    """The bytes of one file, under its own name; or with ?mode=url a signed link to them for an hour."""
    response = _bytes_or_link(file_id)
    response.vary.update(("Accept", "Authorization"))
    return response


def _bytes_or_link(file_id: str) -> Response:
    caller = auth.anybody()
    values = options.query("mode", "download", "expires", "key", "api_key", "signature")
    mode = values.get("mode", "url" if request.accept_mimetypes.best == "application/json" else "file")
    if mode not in ("file", "url"):
        raise BadOption("mode", "is file or url")
    options.flag(values, "download")
    if mode == "url":
        return _signed_link(caller, file_id)
    if caller is None and "signature" in values:
        return answer(download.find_content(store(), links.opened(store(), file_id, _link(values))))
    return answer(download.find_content(store(), files.get(store(), caller, file_id)))


def _signed_link(caller: Caller | None, file_id: str) -> Response:
    link, expires_at = links.sign(store(), caller, file_id)
    by = {"api_key": link.api_key} if link.api_key else {}
    query = urlencode({"expires": link.expires, "key": link.key_id, **by, "signature": link.signature})
    url = f"{origins().service}/api/v1/files/{file_id}/download?{query}"
    return jsonify({"download_url": url, "expires_at": moment(expires_at)})


def _link(values: dict[str, str]) -> links.Link:
    if not re.fullmatch("[0-9]{1,12}", values.get("expires", ""), re.ASCII):
        raise BadSignature("this link is not valid, or not any more")
    return links.Link(int(values["expires"]), values.get("key", ""), values["signature"], values.get("api_key"))


@bp.get("/s/<id:file_id>")
def short_link(file_id: str) -> Response | WsgiResponse:
    """A redirect to the file, or what others may know of it as JSON or a page."""
    caller = auth.anybody()
    output = options.query("output").get("output", "file")
    file = files.get(store(), caller, file_id)
    if output == "json":
        return jsonify(public_json(origins(), file))
    if output == "html":
        return Response(render_template("short_link.html", file=public_json(origins(), file)))
    if output != "file":
        raise BadOption("output", "is file, html or json")
    return redirect(f"{origins().content}/{file.digest}/{quote(file.name, safe='')}", 302)


def _filters(values: dict[str, str]) -> files.Filters:
    return files.Filters(
        folder=parse_folder(values["folder"]) if "folder" in values else None,
        recursive=options.flag(values, "recursive"),
        digest=Digest.parse(values["sha256"]) if "sha256" in values else None,
        visibility=options.visibility(values["visibility"]) if "visibility" in values else None,
        tag=values.get("tag"),
        q=values.get("q"),
    )
