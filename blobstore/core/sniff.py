"""The type of a content, by its own first bytes; what the client or the name says is never asked.

It decides what a browser may show inline, so the safe types are found by our own rules here, and nothing that the
table of puremagic says can make a content one of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import Final

from puremagic import magic_header_array

HEAD_BYTES: Final = 65536
"""How much of a content is looked at."""
UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=utf-8"
INLINE: Final = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/mp4", "video/webm"}
    | {"audio/mpeg", "audio/ogg", "video/ogg", "audio/wav", TEXT}
)
"""What a browser may show without running anything."""

_MARKUP_BYTES = 1445
"""As far as a browser looks when it sniffs (WHATWG MIME Sniffing, section 5.2, the resource header)."""
_PDF_BYTES = 1024
"""As far as readers of PDF look for its first line."""
_CONTROL = bytes([*range(9), 11, *range(14, 32), 127])
_C1_CONTROL = re.compile(b"\xc2[\x80-\x9f]")
_STARTS_LIKE_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[a-z!?/]", re.IGNORECASE)
_ACTIVE_TAG = re.compile(
    rb"<(?:!doctype\s+html|(?:html|head|body|script|style|iframe|object|embed|svg|math|base|meta|link)(?=[\s>/]))",
    re.IGNORECASE,
)
_SVG_TAG = re.compile(rb"<(?:[\w.-]+:)?svg[\s>/]", re.IGNORECASE)
_HTML_TAG = re.compile(rb"<(?:!doctype\s+html|html[\s>/])", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml[\s?]", re.IGNORECASE)
_EBML_DOCTYPE = re.compile(rb"\x42\x82[\x84-\x88](webm|matroska)")
_MP3_LAYER_3 = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"ID3\x02\x00", "audio/mpeg"),
    (b"ID3\x03\x00", "audio/mpeg"),
    (b"ID3\x04\x00", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x7fELF", "application/x-elf"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_ISO_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "image/heic"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    b"qt  ": "video/quicktime",
}
_MP4_BRAND = re.compile(rb"iso[m2-9]|mp4[12]|avc1|M4V[ HP]|dash|msdh|MSNV|f4v |mmp4|NDSC")
_MIN_SIGNATURE_BYTES = 4
_MIME_TYPE = re.compile(r"(?:application|audio|image|video|font|model)/[A-Za-z0-9.+-]+")
_ACTIVE_TYPE = re.compile(r"html|xml|svg|script|pdf|flash|java|sh\b", re.IGNORECASE)


def may_be_inline(content_type: str) -> bool:
    """Whether a browser may be asked to show this type, exactly as `content_type()` spells it."""
    return content_type in INLINE


def content_type(head: bytes) -> str:
    """The media type of the content that begins with `head`; at most its first 64 KiB are looked at.

    A type outside INLINE is a hint for people. Never raises, whatever the bytes; takes at most some 100 µs.
    """
    head = head[:HEAD_BYTES]
    for signature, found in _SIGNATURES:
        if head.startswith(signature):
            return found
    return _container(head) or (_text(head) if _is_text(head) else _binary(head))


def _container(head: bytes) -> str | None:
    """The type of what is told by a few bytes inside, not by the first ones alone."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head.startswith(b"OggS\x00"):
        return "video/ogg" if b"\x80theora" in head[:512] else "audio/ogg"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        found = _EBML_DOCTYPE.search(head, 0, 64)
        return "video/webm" if found and found[1] == b"webm" else "video/x-matroska"
    return "audio/mpeg" if _is_mp3(head) else None


def _iso_media(head: bytes) -> str:
    """By the major brand, else the compatible ones (ISO/IEC 14496-12, section 4.3)."""
    end = min(int.from_bytes(head[:4], "big"), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    if b"avif" in brands and brands[0] in (b"mif1", b"msf1"):
        return "image/avif"
    for brand in brands:
        if brand in _ISO_BRANDS:
            return _ISO_BRANDS[brand]
        if _MP4_BRAND.fullmatch(brand):
            return "video/mp4"
    return UNKNOWN


def _is_mp3(head: bytes) -> bool:
    """Whether two frames of MPEG audio, layer III, follow each other: two bytes alone are found in any content."""
    if not _MP3_LAYER_3.match(head):
        return False
    length = _mp3_frame_bytes(head[:4])
    return bool(length and _MP3_LAYER_3.match(head, length))


def _mp3_frame_bytes(header: bytes) -> int | None:
    """The length of the frame with this 4-byte header, None when it cannot be one (ISO/IEC 11172-3, 13818-3)."""
    if len(header) < 4:
        return None
    version, bitrate, rate, padding = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    if version == 3:
        kbps = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[bitrate]
    else:
        kbps = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[bitrate]
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if version == 3 else 72) * kbps * 1000 // hertz + padding


def _is_text(head: bytes) -> bool:
    """Whether `head` is UTF-8 without control characters; its last character may be cut."""
    if len(head.translate(None, _CONTROL)) != len(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return False
    return b"\xc2" not in head or not _C1_CONTROL.search(head)


def _text(head: bytes) -> str:
    """TEXT, unless something may be run when it is opened: better a README as a download than a page inline."""
    if head.startswith((b"#!", b"\xef\xbb\xbf#!")):
        return "text/x-script"
    if b"%PDF-" in head[:_PDF_BYTES]:
        return "application/pdf"
    if _STARTS_LIKE_MARKUP.match(head) or _ACTIVE_TAG.search(head, 0, _MARKUP_BYTES):
        return _markup(head)
    return TEXT


def _markup(head: bytes) -> str:
    if _HTML_TAG.search(head, 0, _MARKUP_BYTES):
        return "text/html"
    if _SVG_TAG.search(head, 0, _MARKUP_BYTES):
        return "image/svg+xml"
    return "application/xml" if _XML_DECLARATION.match(head) else "text/html"


def _binary(head: bytes) -> str:
    """The longest signature of puremagic's table that fits, without its footers and guesses by two or three bytes."""
    fits = ((length, types.get(head[at : at + length])) for (at, length), types in _table().items())
    _, found = max(((length, kind) for length, kind in fits if kind), default=(0, None))
    if found:
        return found
    if b"%PDF-" in head[:_PDF_BYTES]:
        return "application/pdf"
    return _markup(head) if _STARTS_LIKE_MARKUP.match(head) else UNKNOWN


@cache
def _table() -> dict[tuple[int, int], dict[bytes, str]]:
    """(offset, length) -> signature -> type. Some 100 look-ups instead of 1,400 comparisons."""
    table: dict[tuple[int, int], dict[bytes, str]] = defaultdict(dict)
    for row in magic_header_array:
        kind = row.mime_type
        if len(row.byte_match) < _MIN_SIGNATURE_BYTES or not any(row.byte_match):
            continue
        if _MIME_TYPE.fullmatch(kind) and kind not in INLINE and not _ACTIVE_TYPE.search(kind):
            table[row.offset, len(row.byte_match)].setdefault(row.byte_match, kind)
    return dict(table)
