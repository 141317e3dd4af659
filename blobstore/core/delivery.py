"""Send the mails that wait. Any number of workers may: each mail is one worker's at a time.

    claim     one transaction: the one that is due longest is this worker's until its next try is due
    send      no transaction: look up what it says, hand it to the SMTP server
    remove    one transaction; a mail whose worker died before this one is sent once more

While the server is away nothing is lost: a mail is tried again after 2, 4, 8 … 60 minutes, for a day.
"""

from __future__ import annotations

import logging

from blobstore import smtp
from blobstore.core import letters, mails
from blobstore.core.mails import WaitingMail
from blobstore.core.store import Store
from blobstore.core.tickets import LIFE

_log = logging.getLogger(__name__)


def deliver(store: Store) -> int:
    """Send what is due, until nothing is or the server takes no more; how many were sent."""
    sent = 0
    while (mail := mails.claim(store)) is not None:
        try:
            sent += _send(store, mail)
        except smtp.TROUBLE as error:
            if not _is_refused(mail, error):
                break
        mails.remove(store, mail)
    return sent


def _send(store: Store, mail: WaitingMail) -> bool:
    """Whether it was sent; False when it never will be. Raises smtp.TROUBLE."""
    if mail.age > LIFE:
        _log.error("mail %d (%s) is given up after %d tries", mail.id, mail.kind, mail.attempts - 1)
        return False
    message = letters.write(store, mail)
    if message is None:
        return False
    if mail.attempts == 1 and not mails.may_get_another(store, str(message["To"])):
        _log.warning("mail %d (%s) is dropped: its mailbox has had BLOBSTORE_MAILS already", mail.id, mail.kind)
        return False
    smtp.send(store.settings, message)
    return True


def _is_refused(mail: WaitingMail, error: Exception) -> bool:
    """Say in the log what went wrong, and whether it is so for good."""
    why = f"{type(error).__name__}: {error}"
    if smtp.is_final(error):
        _log.error("mail %d (%s) is given up, the server refused it: %s", mail.id, mail.kind, why)
        return True
    _log.warning("mail %d (%s) is put off, try %d failed: %s", mail.id, mail.kind, mail.attempts, why)
    return False
