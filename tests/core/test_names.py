"""Names of files, folders and users; the numbers are the cases of bad input."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobstore.core.names import (
    RESERVED,
    extension,
    parse_folder,
    parse_name,
    parse_path,
    parse_user_name,
)
from blobstore.errors import BadName, BadText, BadUserName

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no failure."""
EVIL = ["nul\x00", "cr\rlf\n", "\x1b[31m", "\x7f", "c1\x85", "line\u2028", ".", "..", "...", "", " ", " . . ", "\u3000"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("cat.png", "cat.png", id="plain"),
        pytest.param("../../etc/passwd", "passwd", id="44-dots"),
        pytest.param(r"..\..\x", "x", id="44-backslashes"),
        pytest.param(r"C:\x", "x", id="44-drive"),
        pytest.param("/abs", "abs", id="44-absolute"),
        pytest.param("a" * 255, "a" * 255, id="47-255-bytes"),
        pytest.param("a\u202egnp.exe", "agnp.exe", id="48-bidi"),
        pytest.param("a\u200b\u200d\ufeffb", "ab", id="48-zero-width"),
        pytest.param("e\u200b\u0301", "é", id="48-composes-after-stripping"),
        pytest.param("re\u0301sume\u0301", "résumé", id="48-nfd"),
        pytest.param("CON", "CON", id="49-device"),
        pytest.param("aux.txt.", "aux.txt.", id="49-trailing-dot"),
        pytest.param("a:b", "a:b", id="49-colon"),
        pytest.param('";%22é', '";%22é', id="50"),
        pytest.param("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>", id="52-escaped-by-pages"),
        pytest.param("%2e%2e%2fx", "%2e%2e%2fx", id="decoded-once-only"),
    ],
)
def test_a_name_is_text(text, name):
    """A name would be refused, changed, or lead out of its folder."""
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text", [*EVIL, "a" * 256, "😀" * 64, "a" * 10240, "a/", "x\x00/fine", "\u202e", "\u0316" * 60000]
)
def test_bad_names(text):
    """Cases 45 to 47: a header, a page or a column would break."""
    with pytest.raises(BadName):
        parse_name(text)


@pytest.mark.parametrize("parse", [parse_name, parse_folder, parse_path])
def test_lone_surrogates_are_bad_text(parse):
    """Case 35: PostgreSQL cannot hold them, so this would be a 500."""
    with pytest.raises(BadText):
        parse("/\ud800")


@RELAXED
@given(st.text())
def test_names_are_stable(text):
    """A name parsed twice, as from our own link, would become another, and so another file."""
    try:
        name = parse_name(text)
    except BadName:
        return
    assert parse_name(name) == name == unicodedata.normalize("NFC", name)
    assert 0 < len(name.encode()) <= 255
    assert not {"/", "\\", "\0"} & set(name)


@pytest.mark.parametrize("text", ["/", "/a", "/a/b c", "/.git/lfs", "/ü", "/" + "/".join(["a" * 203] * 5)])
def test_folders(text):
    """A good folder would be refused or changed."""
    assert parse_folder(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "//", "/a/", "/a//b", "/../x", "/a/./b", "/a/ /b", "/a\\b", "/a\x00", "/" + "a" * 256,
        "/" + "/".join(["a" * 255] * 5), "/a" * 10000,
    ],
)  # fmt: skip
def test_bad_folders(text):
    """A folder would have two spellings, or lead out of the tree of a client that syncs it."""
    with pytest.raises(BadName):
        parse_folder(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat.png", (None, "cat.png")),
        ("photos/2026/cat.png", ("/photos/2026", "cat.png")),
        ("../../etc/passwd", (None, "passwd")),
        ("a/../b/x", (None, "x")),
        ("/abs", (None, "abs")),
        (r"..\..\x", (None, "x")),
        (r"C:\x", (None, "x")),
        ("a\u200b/e\u0301", ("/a", "é")),
    ],
)
def test_paths(text, expected):
    """Case 44: `curl -T` would store elsewhere than where it says."""
    assert parse_path(text) == expected


@pytest.mark.parametrize("text", ["", "a/", "a//b", "a/..", "a\\b/c", "a/ /b", "a/b\n", "x" * 300 + "/b"])
def test_bad_paths(text):
    """A path would be stored under a folder that cannot be named again."""
    with pytest.raises(BadName):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "name"), [("ann", "ann"), ("Ann", "ann"), ("a.b-c_d", "a.b-c_d"), ("7", "7"), ("z" * 64, "z" * 64)]
)
def test_user_names(text, name):
    """Case 81: two spellings would be two users."""
    assert parse_user_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "", "a" * 65, "a b", "a/b", "a..b", ".a", "a.", "-a", "a_-b", "a\n", "\u212ain", "ａnn", "ü", "a\x00b", "a@b",
        "ab" * 32, "AB" * 32, "\ud800", *sorted(RESERVED), "Admin",
    ],
)  # fmt: skip
def test_bad_user_names(text):
    """Case 81: a user could take the place of a route, of a hash, or of somebody who looks the same."""
    with pytest.raises(BadUserName):
        parse_user_name(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat.PNG", ".png"),
        ("a.tar.gz", ".gz"),
        ("noext", ""),
        (".bashrc", ""),
        ("a.", ""),
        ("a.é", ""),
        ("a.b c", ""),
        ("a.<b>", ""),
        ("a.0123456789", ".0123456789"),
        ("a.0123456789a", ""),
        ("a.png\n", ""),
        ("", ""),
    ],
)
def test_extension(name, expected):
    """A link would carry what a name says beyond a short plain extension."""
    assert extension(name) == expected
