"""What is said of a content beside its bytes: /<sha256>.sha256 (sha256sum -c) and /<sha256>.meta4 (RFC 5854)."""

from __future__ import annotations

import re
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from flask import Blueprint, Response

from blobstore.api import auth
from blobstore.api.context import origins, store
from blobstore.api.download import caching
from blobstore.core import download
from blobstore.core.download import Found
from blobstore.digest import Digest

bp = Blueprint("descriptions", __name__)

_NO_CHARACTER = re.compile("[\ufffe\uffff]")
"""What a name may have and XML may not (Extensible Markup Language 1.0, section 2.2)."""
METALINK = "urn:ietf:params:xml:ns:metalink"


@bp.get("/<digest:digest>.sha256")
def checksum_line(digest: Digest) -> Response:
    """The line that `sha256sum -c` reads, with the name that a download has."""
    found = download.find(store(), auth.anybody(), digest)
    return _described(found, f"{found.digest}  {found.name}\n", "text/plain; charset=utf-8")


@bp.get("/<digest:digest>.meta4")
def metalink(digest: Digest) -> Response:
    """The Metalink, which lets a client verify what it has downloaded, and resume it."""
    found = download.find(store(), auth.anybody(), digest)
    return _described(found, _metalink(found), "application/metalink4+xml")


def _described(found: Found, text: str, content_type: str) -> Response:
    """A name may change while the bytes cannot: so this is never immutable."""
    headers = caching(found) | {"X-Content-Type-Options": "nosniff"}
    headers["Cache-Control"] = "public, max-age=60" if found.public else headers["Cache-Control"]
    return Response(text, headers=headers, content_type=content_type)


def _metalink(found: Found) -> str:
    root = Xml.Element("metalink", xmlns=METALINK)
    file = Xml.SubElement(root, "file", name=_NO_CHARACTER.sub("\ufffd", found.name))
    Xml.SubElement(file, "size").text = str(found.size_bytes)
    Xml.SubElement(file, "hash", type="sha-256").text = found.digest.hex
    Xml.SubElement(file, "url").text = f"{origins().content}/{found.digest}/{quote(found.name, safe='')}"
    return Xml.tostring(root, encoding="unicode", xml_declaration=False) + "\n"
