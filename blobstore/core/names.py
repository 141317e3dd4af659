"""The names that people give: files, folders and users. Parsed at the door; what comes out is proof.

A name is text for display and never part of a path on disk.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from blobstore.emails import fold
from blobstore.errors import BadName, BadText, BadUserName

MAX_NAME_BYTES: Final = 255
MAX_FOLDER_BYTES: Final = 1024
MAX_USER_NAME_LENGTH: Final = 64
_RESERVED_WORDS = """
api upload s share v1 v2 restic cas ac docs redoc openapi.json health metrics static files auth user users list
delete delete_all admin blobs ipfs apidocs
"""
RESERVED: Final = frozenset(_RESERVED_WORDS.split())
"""User names that are, or may become, the first segment of a path of the service."""

DESCRIPTIONS: Final = ("sha256", "meta4")
"""After a hash in a URL these name what is said of a content, not the content."""

_MAX_SENT_LENGTH = 4096
"""Characters of one name: normalising is quadratic in a run of combining marks."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
"""Bidi controls and what has no width: they make two names look alike, or one look like another."""
_SEPARATOR = re.compile(r"[/\\]")
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,10}")
_USER_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def parse_name(text: str) -> str:
    r"""The name of a file: the last segment of `text` after `/` or `\`, NFC, without unseen characters.

    At most 255 bytes of UTF-8. Raises BadName, and BadText for lone surrogates.
    """
    check_text(text)
    return _parse_segment(_SEPARATOR.split(text)[-1])


def parse_folder(text: str) -> str:
    r"""A folder: `/`, or `/seg/seg` with each segment under the rule for names and without `\`; at most 1,024 bytes.

    Raises BadName, and BadText for lone surrogates.
    """
    check_text(text)
    if text == "/":
        return text
    if not text.startswith("/"):
        raise BadName("a folder starts with '/', like /photos/2026")
    return _join(text[1:].split("/"))


def parse_path(text: str) -> tuple[str | None, str]:
    r"""(folder, name) of the path in `PUT /upload/<path>`, which has no leading slash.

    A path of one segment tells no folder, nor does one that is absolute or has the segment `.` or `..`: of that only
    the last segment counts. Raises BadName, and BadText for lone surrogates.
    """
    check_text(text)
    *parents, last = text.split("/")
    name = parse_name(last)
    if not parents or parents[0] == "" or {".", ".."} & set(parents):
        return None, name
    return _join(parents), name


def parse_user_name(text: str) -> str:
    """A user's name, folded to lower case. Raises BadUserName."""
    name = fold(text)
    if len(text) > MAX_USER_NAME_LENGTH or not _USER_NAME.fullmatch(name):
        raise BadUserName("a user name has 1 to 64 of a-z and 0-9, with single '.', '_' or '-' between them")
    if name in RESERVED or _DIGEST.fullmatch(name):
        raise BadUserName(f"the user name '{name}' is reserved")
    return name


def extension(name: str) -> str:
    """The extension of `name` for a URL, lower case with its dot; "" unless it is 1 to 10 ASCII letters or digits.

    Those of the pages that describe a content are left out: the URL would be theirs.
    """
    stem, _, ending = name.rpartition(".")
    plain = stem.strip(".") and _EXTENSION.fullmatch(ending) and ending.lower() not in DESCRIPTIONS
    return f".{ending.lower()}" if plain else ""


def check_text(text: str) -> None:
    """Raise BadText for a lone surrogate, BadName for a control character."""
    if _SURROGATE.search(text):
        raise BadText("a name is Unicode text; it has a lone surrogate")
    if _CONTROL.search(text):
        raise BadName("a name has no control characters")


def _join(segments: list[str]) -> str:
    if any("\\" in segment for segment in segments):
        raise BadName(r"a folder has no '\'")
    if sum(map(len, segments)) > _MAX_SENT_LENGTH:
        raise BadName(f"a folder has at most {MAX_FOLDER_BYTES} bytes of UTF-8")
    folder = "/" + "/".join(map(_parse_segment, segments))
    if len(folder.encode()) > MAX_FOLDER_BYTES:
        raise BadName(f"a folder has at most {MAX_FOLDER_BYTES} bytes of UTF-8")
    return folder


def _parse_segment(text: str) -> str:
    if len(text) > _MAX_SENT_LENGTH:
        raise BadName(f"a name has at most {MAX_NAME_BYTES} bytes of UTF-8")
    # Stripped before normalising: what stood between two characters may have kept them from composing.
    name = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
    if not "".join(name.split()).strip("."):
        raise BadName("a name has more than spaces and dots")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise BadName(f"a name has at most {MAX_NAME_BYTES} bytes of UTF-8")
    return name
