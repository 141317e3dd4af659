"""Logins: POST /api/v1/auth/login and logout, GET and DELETE /api/v1/auth/sessions."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, body
from blobstore.api.context import store
from blobstore.api.schemas.credentials import LoginWanted, session_json, token_json
from blobstore.core import sessions
from blobstore.core.gate import Scope, require_password
from blobstore.errors import NotFound

bp = Blueprint("sessions", __name__)


@bp.post("/api/v1/auth/login")
def log_in() -> Response:
    """A token for a name and a password; it is a Bearer token until it ends."""
    auth.anybody()
    wanted = LoginWanted.read(body.fields(request.environ))
    caller = auth.in_person(wanted.username, wanted.password)
    agent = request.headers.get("User-Agent", "")
    return jsonify(token_json(sessions.log_in(store(), caller, auth.client_address(), agent)))


@bp.post("/api/v1/auth/logout")
def log_out() -> Response:
    """End the session whose token this request carries."""
    caller = auth.somebody(Scope.READ)
    if caller.session_id is None:
        raise NotFound("this request carries no login token: there is no session to end")
    sessions.log_out(store(), caller.user_id, caller.session_id, caller.actor)
    return Response(status=204)


@bp.get("/api/v1/auth/sessions")
def page() -> Response:
    """The caller's sessions, newest first."""
    caller = require_password(auth.somebody(Scope.READ))
    found = sessions.sessions(store(), caller.user_id)
    return jsonify({"items": [session_json(each, caller.session_id) for each in found], "next": None})


@bp.delete("/api/v1/auth/sessions/<id:session_id>")
def end(session_id: str) -> Response:
    """End one session of the caller's; its token is refused on the next request."""
    caller = require_password(auth.somebody(Scope.READ))
    sessions.log_out(store(), caller.user_id, session_id, caller.actor)
    return Response(status=204)
