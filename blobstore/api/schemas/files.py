"""Files on the wire, and what uploads them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from blobstore.api.context import Origins
from blobstore.api.schemas.base import Seconds, Shape, moment
from blobstore.core.cursors import Page
from blobstore.core.delete import Deleted
from blobstore.core.files import StoredFile
from blobstore.core.names import extension

PUBLIC_FIELDS = ("id", "sha256", "name", "size", "content_type", "created_at", "expires_at", "url")


class UploadJson(Shape):
    """`POST /upload` as JSON."""

    data: str
    name: str = ""
    folder: str = ""
    visibility: str = ""
    expires_in: Seconds = 0
    expires_at: str = ""
    tags: list[str] = Field([])
    sha256: str = ""


class FileChange(Shape):
    """`PATCH /api/v1/files/<id>`; what is absent stays."""

    name: str = ""
    folder: str = ""
    visibility: str = ""
    expires_in: Seconds = 0
    expires_at: str | None = None
    tags: list[str] = Field([])


def url(origins: Origins, file: StoredFile) -> str:
    """The public link of a file: its hash, with the extension of its name."""
    return f"{origins.content}/{file.digest}{extension(file.name)}"


def file_json(origins: Origins, file: StoredFile) -> dict[str, Any]:
    """A file as its owner sees it."""
    return {
        "id": file.id,
        "sha256": file.digest.hex,
        "name": file.name,
        "folder": file.folder,
        "size": file.size_bytes,
        "content_type": file.content_type,
        "visibility": file.visibility,
        "tags": file.tags,
        "created_at": moment(file.created_at),
        "expires_at": moment(file.expires_at),
        "downloads": file.downloads,
        "last_downloaded_at": moment(file.last_downloaded_at),
        "damaged": file.damaged,
        "url": url(origins, file),
        "short_url": f"{origins.service}/s/{file.id}",
    }


def public_json(origins: Origins, file: StoredFile) -> dict[str, Any]:
    """A file as others see it: never the owner, nor where he keeps it."""
    whole = file_json(origins, file)
    return {name: whole[name] for name in PUBLIC_FIELDS}


def page_json(origins: Origins, page: Page[StoredFile]) -> dict[str, Any]:
    """One page of a list of files."""
    return {"items": [file_json(origins, file) for file in page.items], "next": page.next}


def deleted_json(deleted: Deleted) -> dict[str, int]:
    """What went, and what the caller's quota got back."""
    return {"deleted": deleted.files, "freed_bytes": deleted.freed_bytes}
