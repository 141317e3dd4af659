"""API keys: POST and GET /api/v1/keys, DELETE /api/v1/keys/<id>, POST /api/v1/keys/<id>/rotate."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, body, options
from blobstore.api.context import store
from blobstore.api.schemas.credentials import KeyWanted, Rotation, key_json, scopes
from blobstore.core import keys
from blobstore.core.gate import Scope, delegate, require_password
from blobstore.core.names import parse_folder

bp = Blueprint("keys", __name__)


@bp.post("/api/v1/keys")
def issue() -> tuple[Response, int]:
    """Make a key with no more scopes than the caller has; the key is shown this once."""
    caller = auth.somebody(Scope.WRITE)
    wanted = KeyWanted.read(body.json_object(request.environ))
    expires_at = options.expires_in(wanted.expires_in) if wanted.expires_in is not None else None
    chosen = delegate(caller, scopes(wanted.scopes))
    place = parse_folder(wanted.folder)
    stored, key = keys.issue(
        store(), caller.user_id, wanted.name, chosen, folder=place, expires_at=expires_at, by=caller.actor
    )
    return jsonify({**key_json(stored), "key": key}), 201


@bp.get("/api/v1/keys")
def page() -> Response:
    """The caller's keys, without the keys themselves."""
    caller = auth.somebody(Scope.READ)
    return jsonify({"items": [key_json(key) for key in keys.keys(store(), caller.user_id)], "next": None})


@bp.post("/api/v1/keys/<id:key_id>/rotate")
def rotate(key_id: str) -> tuple[Response, int]:
    """Put a new key in the place of one of the caller's; the new one is shown this once."""
    caller = require_password(auth.somebody(Scope.WRITE))
    wanted = Rotation.read(body.optional_json_object(request.environ))
    stored, key = keys.rotate(store(), caller.user_id, key_id, timedelta(seconds=wanted.overlap_seconds), caller.actor)
    return jsonify({**key_json(stored), "key": key}), 201


@bp.delete("/api/v1/keys/<id:key_id>")
def revoke(key_id: str) -> Response:
    """End a key of the caller's; it is refused on the next request."""
    caller = require_password(auth.somebody(Scope.WRITE))
    keys.revoke(store(), caller.user_id, key_id, caller.actor)
    return Response(status=204)
