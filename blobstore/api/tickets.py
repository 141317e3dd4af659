"""Tickets, and mails with them: POST /api/v1/auth/password/reset, /reset/confirm, /email/verify and /email/resend."""

from __future__ import annotations

from flask import Blueprint, Response, request

from blobstore.api import auth, body
from blobstore.api.context import store
from blobstore.api.schemas.users import MailWanted, PasswordTicket, TicketGiven
from blobstore.core import mails, tickets

bp = Blueprint("tickets", __name__)


@bp.post("/api/v1/auth/password/reset")
def ask_for_password() -> Response:
    """A mail with a ticket to a new password, if there is such a user with a verified e-mail; the answer tells not."""
    auth.anybody()
    wanted = MailWanted.read(body.json_object(request.environ))
    mails.ask(store(), "reset", wanted.username, auth.client_address())
    return Response(status=202)


@bp.post("/api/v1/auth/password/reset/confirm")
def set_password() -> Response:
    """A new password for a ticket."""
    auth.anybody()
    wanted = PasswordTicket.read(body.json_object(request.environ))
    tickets.redeem_password(store(), wanted.ticket, wanted.new, by=auth.actor())
    return Response(status=204)


@bp.post("/api/v1/auth/email/resend")
def ask_for_verification() -> Response:
    """One more mail with a ticket that verifies an e-mail, if one waits for it; the answer tells not."""
    auth.anybody()
    wanted = MailWanted.read(body.json_object(request.environ))
    mails.ask(store(), "verify", wanted.username, auth.client_address())
    return Response(status=202)


@bp.post("/api/v1/auth/email/verify")
def verify_email() -> Response:
    """The proof of an e-mail: the ticket that was sent there."""
    auth.anybody()
    wanted = TicketGiven.read(body.json_object(request.environ))
    tickets.redeem_email(store(), wanted.ticket, by=auth.actor())
    return Response(status=204)
