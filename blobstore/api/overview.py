"""What an admin sees of everybody: /api/v1/admin/files, /api/v1/admin/stats."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from blobstore.api import auth, options
from blobstore.api.context import origins, store
from blobstore.api.schemas.admin import owned_json, statistics_json
from blobstore.core import overview
from blobstore.core.gate import Scope
from blobstore.digest import Digest

bp = Blueprint("overview", __name__, url_prefix="/api/v1/admin")


@bp.get("/files")
def files() -> Response:
    """The files of a user, or whose file has a content; the newest first."""
    caller = auth.somebody(Scope.ADMIN)
    values = options.query("limit", "cursor", "user", "sha256")
    digest = Digest.parse(values["sha256"]) if "sha256" in values else None
    limit, cursor = options.limit(values), values.get("cursor")
    found = overview.files(store(), user=values.get("user"), digest=digest, limit=limit, cursor=cursor, by=caller.actor)
    return jsonify({"items": [owned_json(origins(), each) for each in found.items], "next": found.next})


@bp.get("/stats")
def statistics() -> Response:
    """What the store uses, who uses most of it, and what is saved."""
    auth.somebody(Scope.ADMIN)
    return jsonify(statistics_json(overview.statistics(store())))
