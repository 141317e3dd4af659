"""The pages that the links in mails lead to: they redeem the ticket when a person says so, not when it is fetched."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, send_from_directory

from blobstore.api.docs import ASSET_SECONDS, OURS

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

bp = Blueprint("pages", __name__)


@bp.get("/auth/email")
def email() -> Response:
    """Verify an e-mail."""
    return Response(render_template("email.html"), headers=HEADERS)


@bp.get("/auth/password")
def password() -> Response:
    """Set a new password."""
    return Response(render_template("password.html"), headers=HEADERS)


@bp.get("/auth/ticket.js")
def script() -> Response:
    """What both of them do."""
    response = send_from_directory(OURS, "ticket.js", max_age=ASSET_SECONDS)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
