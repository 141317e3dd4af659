"""The caller: GET, PATCH and DELETE /api/v1/me, GET /api/v1/me/quota, POST /api/v1/auth/password."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, body
from blobstore.api.context import store
from blobstore.api.schemas.users import EmailChange, PasswordChange, PasswordGiven, account_json, quota_json
from blobstore.core import accounts, new_email, new_password, quota, removal
from blobstore.core.gate import Scope

bp = Blueprint("me", __name__)


@bp.get("/api/v1/me")
def get() -> Response:
    """Who the caller is."""
    caller = auth.somebody(Scope.READ)
    return jsonify(account_json(accounts.get(store(), caller.name), caller.scopes))


@bp.patch("/api/v1/me")
def change() -> Response:
    """Another e-mail, which is to be verified; the password must be given too."""
    caller = auth.somebody(Scope.WRITE)
    wanted = EmailChange.read(body.json_object(request.environ))
    auth.in_person(caller.name, wanted.password)
    return jsonify(account_json(new_email.set_email(store(), caller.name, wanted.email, caller.actor), caller.scopes))


@bp.get("/api/v1/me/quota")
def get_quota() -> Response:
    """What the caller uses and may still use."""
    caller = auth.owner(Scope.READ)
    return jsonify(quota_json(quota.read(store(), caller)))


@bp.post("/api/v1/auth/password")
def change_password() -> Response:
    """A new password; the present one must be given too, so that an API key alone cannot change it."""
    caller = auth.somebody(Scope.WRITE)
    wanted = PasswordChange.read(body.json_object(request.environ))
    auth.in_person(caller.name, wanted.current)
    new_password.set_password(store(), caller.name, wanted.new, caller.actor)
    return Response(status=204)


@bp.delete("/api/v1/me")
def remove() -> Response:
    """Delete the caller with all his files; the password must be given once more."""
    caller = auth.somebody(Scope.DELETE)
    wanted = PasswordGiven.read(body.json_object(request.environ))
    auth.in_person(caller.name, wanted.password)
    return jsonify({"deleted": removal.remove_account(store(), caller.name, caller.actor)})
