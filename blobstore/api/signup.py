"""New accounts: POST /api/v1/auth/signup."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, body
from blobstore.api.context import store
from blobstore.api.schemas.users import SignUpWanted, signup_json
from blobstore.core import signup

bp = Blueprint("signup", __name__)


@bp.post("/api/v1/auth/signup")
def sign_up() -> tuple[Response, int]:
    """An account, 201 when it may be used at once, 202 when its e-mail must be verified first."""
    auth.anybody()
    wanted = SignUpWanted.read(body.json_object(request.environ))
    account = signup.sign_up(store(), wanted.name, wanted.email, wanted.password, auth.actor())
    return jsonify(signup_json(account)), 201 if account.admitted else 202
