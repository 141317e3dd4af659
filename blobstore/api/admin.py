"""Users, for admins: /api/v1/admin/users."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, body, options
from blobstore.api.context import origins, store
from blobstore.api.schemas.base import moment
from blobstore.api.schemas.users import UserChange, UserWanted, user_json
from blobstore.core import accounts, admin, letters, removal, tickets
from blobstore.core.gate import Scope

bp = Blueprint("admin", __name__, url_prefix="/api/v1/admin")


@bp.get("/users")
def page() -> Response:
    """Every user by name, or those whose name or e-mail has `q` in it."""
    auth.somebody(Scope.ADMIN)
    values = options.query("limit", "cursor", "q")
    found = accounts.page(store(), values.get("q", ""), limit=options.limit(values), after=values.get("cursor", ""))
    return jsonify({"items": [user_json(account) for account in found.items], "next": found.next})


@bp.post("/users")
def add() -> tuple[Response, int]:
    """Make a user."""
    caller = auth.somebody(Scope.ADMIN)
    wanted = UserWanted.read(body.json_object(request.environ))
    quota_bytes = wanted.quota if "quota" in wanted.model_fields_set else store().settings.default_quota_bytes
    account = accounts.add(
        store(),
        wanted.name,
        wanted.password,
        email=wanted.email,
        admin=wanted.role == "admin",
        quota_bytes=quota_bytes,
        by=caller.actor,
    )
    return jsonify(user_json(account)), 201


@bp.get("/users/<user:name>")
def get(name: str) -> Response:
    """One user."""
    auth.somebody(Scope.ADMIN)
    return jsonify(user_json(accounts.get(store(), name)))


@bp.patch("/users/<user:name>")
def change(name: str) -> Response:
    """Change the quota, the role, the e-mail, or whether he is disabled."""
    caller = auth.somebody(Scope.ADMIN)
    wanted = UserChange.read(body.json_object(request.environ)).model_dump(exclude_unset=True)
    return jsonify(user_json(admin.change(store(), name, cast("admin.AccountChanges", wanted), caller.actor)))


@bp.delete("/users/<user:name>")
def remove(name: str) -> Response:
    """Delete a user with all his files."""
    caller = auth.somebody(Scope.ADMIN)
    return jsonify({"deleted": removal.remove_account(store(), name, caller.actor)})


@bp.post("/users/<user:name>/ticket")
def ticket(name: str) -> tuple[Response, int]:
    """A ticket with which the user sets a new password, or proves his e-mail, once, within a day."""
    caller = auth.somebody(Scope.ADMIN)
    purpose = options.purpose(options.query("for"))
    issued, ends_at = tickets.issue(store(), name, purpose, by=caller.actor)
    url = letters.link(origins().service, purpose, issued)
    return jsonify({"ticket": issued, "expires_at": moment(ends_at), "url": url}), 201
