"""Download by hash: GET and HEAD of /<sha256>, /<sha256>.<ext>, /<sha256>/<name>, and of a file by its id."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, request
from werkzeug.http import http_date

from blobstore.api import auth, options
from blobstore.api.context import parts, shows_content, store
from blobstore.api.disposition import content_disposition
from blobstore.api.errors import problem
from blobstore.api.ranges import Selection, select
from blobstore.core import download
from blobstore.core.download import Found
from blobstore.core.names import parse_name
from blobstore.core.sniff import may_be_inline
from blobstore.digest import Digest

bp = Blueprint("download", __name__)

SHARED_CACHE_SECONDS = 60
"""A shared cache asks again after that, so that what is made private or deleted is gone from it soon."""
FOREVER = f"public, max-age=31536000, s-maxage={SHARED_CACHE_SECONDS}, immutable"
PRIVATE = "private, no-cache"


@bp.get("/<digest:digest>")
@bp.get("/<digest:digest>.<ext:_ext>")
@bp.get("/<digest:digest>/<name>")
def get(digest: Digest, name: str | None = None, _ext: str = "") -> Response:
    """The bytes: to anybody when a file with this content is public, else to its owner."""
    caller = auth.anybody()
    asked = parse_name(name) if name is not None else None
    return answer(download.find(store(), caller, digest), asked)


def answer(found: Found, name: str | None = None) -> Response:
    """The response for what was found, by the conditions and the range of this request (RFC 9110)."""
    etag, saved = f'"{found.digest}"', options.flag(request.args, "download")
    selection = select(request.method, request.headers, etag, found.size_bytes)
    headers = _headers(found, etag)
    if selection.content_range:
        headers["Content-Range"] = selection.content_range
    if selection.status in (200, 206):
        headers.update(_of_content(found, name or found.name, saved=saved))
    if selection.status == 416:
        response = problem(416, "range_not_satisfiable", f"the file has {found.size_bytes} bytes")
        response.headers.update(headers | {"Cache-Control": "no-store", "Content-Type": response.content_type or ""})
        return response
    if selection.status not in (200, 206) or request.method == "HEAD":
        return _without_body(selection, headers)
    return _with_body(found, selection, headers)


def _headers(found: Found, etag: str) -> dict[str, str]:
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Repr-Digest": f"sha-256=:{found.digest.base64}:"}
    if "sha-256" in request.headers.get("Want-Digest", "").lower():
        headers["Digest"] = f"SHA-256={found.digest.base64}"
    return headers | caching(found)


def caching(found: Found) -> dict[str, str]:
    """Who may keep the answer and for how long, and which pages of other sites may read it."""
    if not found.public:
        return {"Cache-Control": PRIVATE, "Vary": "Authorization"}
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "Content-Disposition, Content-Range, ETag, Repr-Digest",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Cache-Control": FOREVER,
    }
    if found.expires_at:
        left = max(int((found.expires_at - datetime.now(UTC)).total_seconds()), 0)
        headers["Cache-Control"] = f"public, max-age={left}, s-maxage={min(left, SHARED_CACHE_SECONDS)}"
        headers["Sunset"] = http_date(found.expires_at)
    return headers


def _of_content(found: Found, name: str, *, saved: bool) -> dict[str, str]:
    inline = may_be_inline(found.content_type) and shows_content() and not saved
    return {
        "Content-Type": found.content_type,
        "Content-Disposition": content_disposition("inline" if inline else "attachment", name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _without_body(selection: Selection, headers: dict[str, str]) -> Response:
    response = Response(status=selection.status, headers=headers)
    if selection.status == 200:
        response.content_length = selection.length
    else:
        del response.headers["Content-Type"]
    return response


def _with_body(found: Found, selection: Selection, headers: dict[str, str]) -> Response:
    pieces = download.read(store(), found, selection.start, selection.length)
    if selection.start == 0:
        parts().downloads.add(found)
    if found.private:
        parts().tally.download(found, auth.actor(request.environ.get("blobstore.user")), selection.length)
    whole = pieces.whole()
    if whole is not None:
        return Response(whole, selection.status, headers)
    response = Response(pieces, selection.status, headers, direct_passthrough=True)
    response.content_length = selection.length
    return response
