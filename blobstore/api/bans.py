"""Banned contents, for admins: /api/v1/admin/bans."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, body, options
from blobstore.api.context import store
from blobstore.api.schemas.admin import BanWanted, ban_json
from blobstore.core import bans
from blobstore.core.gate import Scope
from blobstore.digest import Digest

bp = Blueprint("bans", __name__, url_prefix="/api/v1/admin/bans")


@bp.get("")
def page() -> Response:
    """Every banned content, the newest first."""
    auth.somebody(Scope.ADMIN)
    values = options.query("limit", "cursor")
    found = bans.page(store(), limit=options.limit(values), cursor=values.get("cursor"))
    return jsonify({"items": [ban_json(each) for each in found.items], "next": found.next})


@bp.post("")
def ban() -> tuple[Response, int]:
    """Ban a content: it is served to nobody, taken from nobody, and what its owners have of it goes."""
    caller = auth.somebody(Scope.ADMIN)
    wanted = BanWanted.read(body.json_object(request.environ))
    done = bans.ban(store(), Digest.parse(wanted.sha256), wanted.reason, caller.actor)
    return jsonify({**ban_json(done.ban), "deleted": done.removed}), 201 if done.created else 200


@bp.delete("/<digest:banned>")
def lift(banned: Digest) -> Response:
    """Let a content in again; what went stays gone."""
    caller = auth.somebody(Scope.ADMIN)
    bans.lift(store(), banned, caller.actor)
    return Response(status=204)
