"""Sign up: an account for whoever asks, as far as the settings allow it.

    check     registration is not closed, the limit of the client's address, the address among those allowed
    hash      argon2, one at a time
    insert    one transaction: the user, and the mail with the link when there is an SMTP server

With mail the answer never depends on who has the e-mail already: it may be claimed by many and is proven by one, and
what its holder should know is written to him alone.
"""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from blobstore.core import accounts, mails
from blobstore.core.accounts import Account
from blobstore.core.actor import Actor
from blobstore.core.limits import Limiter
from blobstore.core.new_email import check_allowed
from blobstore.core.store import Store
from blobstore.errors import AlreadyExists, RegistrationClosed


def sign_up(store: Store, name: str, email: str, password: str, by: Actor) -> Account:
    """Make a user with the default quota, who may log in at once only where nothing has to be verified.

    Raises RegistrationClosed, TooManyAttempts, BadOption, EmailNotAllowed,
    BadUserName, Busy, AlreadyExists for the name, and for the e-mail where no mail can tell its holder alone.
    """
    settings = store.settings
    if settings.registration == "closed":
        raise RegistrationClosed("nobody signs up here; ask an admin for an account")
    limiter = Limiter(store.database)
    limiter.take("signups", settings.signups, settings.signup_window_seconds, "signup", by.address)
    check_allowed(settings, accounts.parse_email(email))
    quota_bytes = settings.default_quota_bytes
    values = accounts.new_user(name, password, email=email, admin=False, quota_bytes=quota_bytes, client=by.address)
    by_mail = settings.smtp_host is not None
    values |= {"verified": False, "admitted": settings.registration == "open" and not by_mail}
    try:
        with store.database.transaction() as session:
            if not by_mail and accounts.is_taken(session, values["email"]):
                raise AlreadyExists("there is a user with that e-mail already")
            account = accounts.make(session, values, by)
            if by_mail:
                mails.queue(session, "verify", account.name)
            return account
    except IntegrityError as error:
        raise AlreadyExists("there is a user with that name already") from error
