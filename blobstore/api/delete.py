"""Delete by hash: DELETE /<sha256>."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from blobstore.api import auth, options
from blobstore.api.context import store
from blobstore.api.schemas.files import deleted_json
from blobstore.core import delete
from blobstore.core.gate import Scope
from blobstore.core.names import parse_folder
from blobstore.digest import Digest

bp = Blueprint("delete", __name__)


@bp.delete("/<digest:digest>")
def delete_digest(digest: Digest) -> Response:
    """The caller's files with this content; another owner's stay."""
    caller = auth.owner(Scope.DELETE)
    values = options.query("dry_run", "folder")
    folder = parse_folder(values["folder"]) if "folder" in values else None
    dry_run = options.flag(values, "dry_run")
    return jsonify(deleted_json(delete.delete_content(store(), caller, digest, folder=folder, dry_run=dry_run)))
