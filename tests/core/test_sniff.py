"""The type of a content: what a browser may show inline is a question of safety."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobstore.core.sniff import HEAD_BYTES, INLINE, TEXT, UNKNOWN, content_type, may_be_inline

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no failure."""
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
RIFF = b"RIFF\x24\0\0\0"
EBML = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82"
MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)


def ftyp(major, *others):
    brands = b"".join(others)
    return (16 + len(brands)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + brands


SAFE = {
    "png": (PNG, "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
    "gif": (b"GIF89a\x01\0\x01\0", "image/gif"),
    "webp": (RIFF + b"WEBPVP8 ", "image/webp"),
    "avif": (ftyp(b"avif", b"mif1", b"miaf"), "image/avif"),
    "avif-by-compatible-brand": (ftyp(b"mif1", b"mif1", b"avif"), "image/avif"),
    "mp4": (ftyp(b"isom", b"isom", b"iso2", b"mp41"), "video/mp4"),
    "webm": (EBML + b"\x84webm", "video/webm"),
    "mp3-id3": (b"ID3\x04\0\0\0\0\0\0", "audio/mpeg"),
    "mp3-bare": (MP3_FRAME + MP3_FRAME[:4] + bytes(400), "audio/mpeg"),
    "ogg": (b"OggS\0\x02" + bytes(20) + b"\x01\x1e\x01vorbis", "audio/ogg"),
    "ogg-video": (b"OggS\0\x02" + bytes(20) + b"\x01\x2a\x80theora", "video/ogg"),
    "wav": (RIFF + b"WAVEfmt ", "audio/wav"),
    "text": (b"hello\r\n\tworld\f\n", TEXT),
    "text-utf8": ("grüße €".encode(), TEXT),
    "text-bom": (b"\xef\xbb\xbfhello", TEXT),
    "text-empty": (b"", TEXT),
    "text-with-less-than": (b"if a < b and c <d> e: <3", TEXT),
}

ACTIVE = {
    "html": (b"<!DOCTYPE html><p>", "text/html"),
    "html-upper": (b"<HTML><BODY>", "text/html"),
    "html-after-space": (b" \r\n\t\n<html>", "text/html"),
    "html-after-bom": (b"\xef\xbb\xbf<html>", "text/html"),
    "html-after-comment": (b"<!-- hi --><p>", "text/html"),
    "html-after-text": (b"hello <script>alert(1)</script>", "text/html"),
    "html-fragment": (b"<img src=x onerror=alert(1)>", "text/html"),
    "html-far-down": (b" " * 60000 + b"<script>", "text/html"),
    "html-latin1": (b"<html>\xe9", "text/html"),
    "html-with-nul": (b"<html>\0", "text/html"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "image/svg+xml"),
    "svg-prefixed": (b"<?xml version='1.0'?><s:svg>", "image/svg+xml"),
    "svg-after-text": (b"x <svg/onload=alert(1)>", "image/svg+xml"),
    "xml": (b"<?xml version='1.0'?><a/>", "application/xml"),
    "xml-entity": (b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>", "text/html"),
    "xslt": (b"<?xml-stylesheet href='x'?>", "text/html"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
    "pdf-late": (b"x" * 900 + b"%PDF-1.4", "application/pdf"),
    "pdf-late-binary": (b"\0" * 900 + b"%PDF-1.4", "application/pdf"),
    "shebang": (b"#!/bin/sh\nrm -rf /", "text/x-script"),
}

OTHER = {
    "zip": (b"PK\x03\x04\x14\0", "application/zip"),
    "gzip": (b"\x1f\x8b\x08\0", "application/gzip"),
    "elf": (b"\x7fELF\x02\x01", "application/x-elf"),
    "heic": (ftyp(b"heic", b"mif1"), "image/heic"),
    "mov": (ftyp(b"qt  "), "video/quicktime"),
    "m4a": (ftyp(b"M4A "), "audio/mp4"),
    "unknown-brand": (ftyp(b"\xff\xfe\0\0"), UNKNOWN),
    "mkv": (EBML + b"\x88matroska", "video/x-matroska"),
    "avi": (RIFF + b"AVI LIST", "video/x-msvideo"),
    "tar": (bytes(257) + b"ustar\x0000", "application/x-tar"),
    "sqlite": (b"SQLite format 3\0\x10\0\x01", "application/x-sqlite3"),
    "nul": (b"hello\0world", UNKNOWN),
    "escape": (b"\x1b[31mred", UNKNOWN),
    "c1": ("a\x9bb".encode(), UNKNOWN),
    "latin1": (b"gr\xfc\xdfe from here", UNKNOWN),
    "utf16": ("<script>".encode("utf-16"), UNKNOWN),
    "half-mp3": (b"\xff\xfb\x90\x00" + bytes(600), UNKNOWN),
    "surrogate": (b"\xed\xa0\x80abc", UNKNOWN),
}


@pytest.mark.parametrize(("head", "expected"), SAFE.values(), ids=SAFE)
def test_safe_types_are_found(head, expected):
    """A picture, a film or a text would be downloaded instead of shown."""
    assert content_type(head) == expected
    assert may_be_inline(expected)


@pytest.mark.parametrize(("head", "expected"), ACTIVE.values(), ids=ACTIVE)
def test_what_may_run_is_never_inline(head, expected):
    """Cases 39 to 41: somebody else's script would run on our origin."""
    assert content_type(head) == expected
    assert not may_be_inline(expected)


@pytest.mark.parametrize(("head", "expected"), OTHER.values(), ids=OTHER)
def test_others_are_hints(head, expected):
    """A list by type would miss the file, or garbage would be shown as text."""
    assert content_type(head) == expected
    assert not may_be_inline(expected)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_character_cut_by_the_end_of_the_head_is_text(cut):
    """A long text in another script would be text or not by the luck of its length."""
    content = ("a" * (HEAD_BYTES - cut) + "😀" * 10).encode()
    assert content_type(content[:HEAD_BYTES]) == TEXT
    assert content_type(content) == TEXT


def test_no_more_than_the_head_is_read():
    """A large first piece would cost more than the 64 KiB that were promised."""
    assert content_type(b"a" * HEAD_BYTES + b"\0") == TEXT


@RELAXED
@given(
    st.sampled_from([head for head, kind in ACTIVE.values() if kind[-3:] in ("tml", "xml")]),
    st.sampled_from([b"", b" ", b"\n\n", b"\t\r\n"]),
)
def test_leading_space_hides_no_markup(head, space):
    """A browser skips the space and runs the rest."""
    assert not may_be_inline(content_type(space + head))


@RELAXED
@given(st.sampled_from([b"", *(head for head, _ in [*SAFE.values(), *ACTIVE.values(), *OTHER.values()])]), st.data())
def test_hostile_heads_are_answered(start, data):
    """A truncated or hostile header would be a 500, or a type that no header can carry."""
    head = start[: data.draw(st.integers(0, len(start)))] + data.draw(st.binary(max_size=300))
    found = content_type(head)
    assert found.isascii()
    assert found.isprintable()
    assert "/" in found


@RELAXED
@given(st.integers(0, 2**32))
def test_random_content_is_not_shown(seed):
    """Encrypted or compressed bytes would be taken for a picture or a text."""
    head = Random(seed).randbytes(HEAD_BYTES)
    assert not may_be_inline(content_type(b"\0" + head))


def test_inline_types_are_the_decided_ones():
    """A type that runs scripts would slip into the safe list."""
    assert sorted(INLINE) == [
        "audio/mpeg", "audio/ogg", "audio/wav", "image/avif", "image/gif", "image/jpeg", "image/png", "image/webp",
        TEXT, "video/mp4", "video/ogg", "video/webm",
    ]  # fmt: skip
