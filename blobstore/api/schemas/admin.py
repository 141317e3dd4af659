"""What admins are shown and send, but for users: bans, the audit log, everybody's files, the whole store."""

from __future__ import annotations

from typing import Any

from blobstore.api.context import Origins
from blobstore.api.schemas.base import Shape, moment
from blobstore.api.schemas.files import file_json
from blobstore.core.banned import Ban
from blobstore.core.events import StoredEvent
from blobstore.core.overview import OwnedFile, Statistics


class BanWanted(Shape):
    """`POST /api/v1/admin/bans`."""

    sha256: str
    reason: str


def ban_json(ban: Ban) -> dict[str, Any]:
    """A ban; `by` null: at the command line."""
    return {"sha256": ban.digest.hex, "reason": ban.reason, "by": ban.by, "created_at": moment(ban.created_at)}


def event_json(event: StoredEvent) -> dict[str, Any]:
    """An event as an admin sees it."""
    return {
        "id": event.id,
        "at": moment(event.at),
        "user": event.user,
        "action": event.action,
        "sha256": event.digest,
        "file_id": event.file_id,
        "target": event.target,
        "address": event.address,
        "request_id": event.request_id,
        "details": event.details,
    }


def activity_json(event: StoredEvent, name: str) -> dict[str, Any]:
    """The same as the owner of the account sees it: who else it was, if anybody, and from where, is not his to know."""
    own = event.user in (name, None)
    return event_json(event) | ({} if own else {"user": None, "address": None, "request_id": None})


def owned_json(origins: Origins, owned: OwnedFile) -> dict[str, Any]:
    """A file and whose it is."""
    return {"owner": owned.owner, **file_json(origins, owned.file)}


def statistics_json(found: Statistics) -> dict[str, Any]:
    """Counts and bytes, and what duplicates save: those of one user, and those of several."""
    return {
        "users": found.users,
        "disabled_users": found.disabled_users,
        "files": found.files,
        "contents": found.contents,
        "logical": found.logical_bytes,
        "used": found.used_bytes,
        "stored": found.stored_bytes,
        "saved": found.logical_bytes - found.stored_bytes,
        "top_users": [
            {
                "name": each.name,
                "files": each.files,
                "contents": each.contents,
                "logical": each.logical_bytes,
                "used": each.used_bytes,
            }
            for each in found.top_users
        ],
        "top_types": [
            {"content_type": each.content_type, "contents": each.contents, "stored": each.stored_bytes}
            for each in found.top_types
        ],
    }
