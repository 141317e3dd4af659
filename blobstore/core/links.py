"""Signed links: whoever has one may read one file until it expires, without a login.

HMAC-SHA256 over length-prefixed fields; see security.md, "Signed URLs". It is asked in addition to the file's state: a
file that is gone, expired or whose owner is disabled is not opened whatever the signature says, and the owner's epoch,
which a change of password raises, makes every link of his void. A link that was made with an API key ends with that
key: whoever stole it can keep nothing open after it is revoked. Who reads a file only because it is public signs no
more than that: his link ends when the owner takes the file back.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import text
from sqlalchemy.orm import Session

from blobstore.core import banned, events, files
from blobstore.core.banned import BannedFile
from blobstore.core.events import About, Action
from blobstore.core.files import StoredFile
from blobstore.core.gate import Caller, owns, reader_id
from blobstore.core.ring import ring
from blobstore.core.store import Store
from blobstore.errors import BadSignature, ContentBanned

LIFE = timedelta(hours=1)
MAX_LIFE = timedelta(days=7)
_PURPOSE = b"blobstore signed link 1"
OWNERS, ANYBODYS = "read", "read while public"
_EPOCH = text("SELECT epoch FROM users WHERE id = :id")
_KEY_LIVES = text("""
SELECT EXISTS (SELECT FROM api_keys WHERE id = :id AND (expires_at IS NULL OR expires_at > clock_timestamp()))
""")


@dataclass(frozen=True)
class Link:
    """What a signed link carries besides the file's id: seconds since 1970, which secret, the signature.

    `api_key` is the id of the API key that it was made with, and ends with; None for any other login.
    """

    expires: int
    key_id: str
    signature: str
    api_key: str | None = None


def sign(store: Store, caller: Caller | None, file_id: str, now: datetime | None = None) -> tuple[Link, datetime]:
    """A link to a file that the caller may read, and when it ends. Raises what files.get does."""
    file = files.get(store, caller, file_id)
    with store.database.transaction() as session:
        epoch = _epoch(session, file)
        if caller and file.visibility == "private":
            about = About(file.owner_id, file.digest, file.id)
            events.note(session, caller.actor, Action.LINK_SIGNED, about, name=file.name, folder=file.folder)
    expires_at = (now or datetime.now(UTC)).replace(microsecond=0) + LIFE
    expires = int(expires_at.timestamp())
    secret = ring(store, _PURPOSE)[0]
    action = OWNERS if owns(caller, file) and reader_id(caller) else ANYBODYS
    unsigned = Link(expires, _key_id(secret), "", caller.key_id if caller else None)
    return replace(unsigned, signature=_signature(secret, file, action, unsigned, epoch)), expires_at


def opened(store: Store, file_id: str, link: Link, now: datetime | None = None) -> StoredFile:
    """The file that the link opens. Raises BadSignature for whatever is wrong with the link, or when the file is gone.

    The two look the same: a made-up link must not tell whether there is such a file. A good link to a file that a ban
    has taken raises ContentBanned.
    """
    with store.database.transaction() as session:
        file = files.read(session, file_id) or banned.file(session, file_id)
        if file is None or not _is_good(store, session, file, link, now or datetime.now(UTC)):
            raise BadSignature("this link is not valid, or not any more")
    if isinstance(file, BannedFile):
        raise ContentBanned(file.reason)
    return file


def _is_good(store: Store, session: Session, file: StoredFile | BannedFile, link: Link, now: datetime) -> bool:
    secrets = [secret for secret in ring(store, _PURPOSE) if _key_id(secret) == link.key_id]
    if not secrets or not 0 < link.expires - now.timestamp() <= MAX_LIFE.total_seconds():
        return False
    epoch, actions = _epoch(session, file), (OWNERS, ANYBODYS) if file.visibility == "public" else (OWNERS,)
    expected = [_signature(secrets[0], file, action, link, epoch) for action in actions]
    if not any(hmac.compare_digest(each.encode(), link.signature.encode()) for each in expected):
        return False
    return link.api_key is None or bool(session.scalar(_KEY_LIVES, {"id": link.api_key}))


def _epoch(session: Session, file: StoredFile | BannedFile) -> int:
    return int(session.execute(_EPOCH, {"id": file.owner_id}).scalar_one())


def _signature(secret: bytes, file: StoredFile | BannedFile, action: str, link: Link, epoch: int) -> str:
    mac = hmac.new(secret, digestmod=sha256)
    by = link.api_key or ""
    for field in ("2", action, file.id, file.digest.hex, str(link.expires), _key_id(secret), str(epoch), by):
        mac.update(len(field).to_bytes(8, "big") + field.encode())
    return urlsafe_b64encode(mac.digest()).decode().rstrip("=")


def _key_id(secret: bytes) -> str:
    return sha256(secret).hexdigest()[:8]
