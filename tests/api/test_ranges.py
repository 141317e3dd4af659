"""Ranges and conditions by RFC 9110; the numbers are the cases of bad input."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import EnvironHeaders

from blobstore.api.ranges import select

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no failure."""
TAG = '"' + "ab" * 32 + '"'
OTHER = '"' + "cd" * 32 + '"'


def ask(size=10, method="GET", **headers):
    environ = {"HTTP_" + name.upper(): value for name, value in headers.items()}
    return select(method, EnvironHeaders(environ), TAG, size)


@pytest.mark.parametrize(
    ("field", "start", "length"),
    [
        pytest.param("bytes=0-0", 0, 1, id="55-first"),
        pytest.param("bytes=0-", 0, 10, id="55-all"),
        pytest.param("bytes=-1", 9, 1, id="55-last"),
        pytest.param("bytes=9-", 9, 1, id="55-tail"),
        pytest.param("bytes=2-5", 2, 4, id="55-middle"),
        pytest.param("bytes=2-99", 2, 8, id="55-beyond"),
        pytest.param("bytes=-100", 0, 10, id="56-long-suffix"),
        pytest.param("bytes=0-18446744073709551616", 0, 10, id="60-2**64"),
        pytest.param("bytes=0-" + "9" * 10000, 0, 10, id="60-10000-digits"),
        pytest.param("bytes=-" + "9" * 10000, 0, 10, id="60-10000-digits-suffix"),
        pytest.param("bytes=" + "0" * 10000 + "3-4", 3, 2, id="60-leading-zeros"),
        pytest.param("Bytes= 2-5 ", 2, 4, id="unit-in-any-case"),
    ],
)
def test_one_satisfiable_range_is_sliced(field, start, length):
    """A resumed download would join the wrong bytes."""
    got = ask(Range=field)
    assert (got.status, got.start, got.length) == (206, start, length)
    assert got.content_range == f"bytes {start}-{start + length - 1}/10"


@pytest.mark.parametrize(
    ("field", "size"),
    [
        pytest.param("bytes=10-", 10, id="57-at-the-end"),
        pytest.param("bytes=-0", 10, id="57-empty-suffix"),
        pytest.param("bytes=0-", 0, id="57-empty-file"),
        pytest.param("bytes=-5", 0, id="57-empty-file-suffix"),
        pytest.param("bytes=" + "9" * 10000 + "-", 10, id="60-10000-digits"),
    ],
)
def test_an_unsatisfiable_range_says_the_size(field, size):
    """A client that resumes a finished download would get it all again, or could not learn its size."""
    got = ask(size, Range=field)
    assert (got.status, got.length, got.content_range) == (416, 0, f"bytes */{size}")


@pytest.mark.parametrize(
    "field",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes=abc", "bytes=5-2", "items=0-1", "bytes=--1", "bytes=1-2-3",
        "bytes=+1-2", "bytes=1_0-", "bytes=٠-١", "bytes=0x0-1", "bytes=0-1;", "bytes 0-1", "bytes=1.0-2",
        "bytes=0-1,3-4", "bytes=0-1,0-1", "bytes=" + ",".join(["0-9"] * 500), "bytes=0-,", "\x00", "bytes=0-\n",
    ],
)  # fmt: skip
def test_a_malformed_or_multiple_range_is_ignored(field):
    """Cases 58 and 59: garbage would be an error, or 500 ranges a cheap attack."""
    got = ask(Range=field)
    assert (got.status, got.start, got.length, got.content_range) == (200, 0, 10, None)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_a_range_counts_for_get_only(method):
    """Case 64: HEAD would differ from the GET of the whole file."""
    assert ask(method=method, Range="bytes=0-0").status == 200


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (TAG, 206),
        (f" {TAG} ", 206),
        (OTHER, 200),
        ("W/" + TAG, 200),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 200),
        ("*", 200),
        (TAG.strip('"'), 200),
        ("", 200),
        (f"{TAG}, {TAG}", 200),
    ],
)
def test_if_range_needs_the_very_same_strong_tag(if_range, status):
    """Case 61: parts of two different files would be joined."""
    assert ask(Range="bytes=1-2", If_Range=if_range).status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("field", "status"),
    [
        (TAG, 304),
        ("W/" + TAG, 304),
        ("*", 304),
        (f" {OTHER} ,, W/{OTHER},\t{TAG}", 304),
        (", ".join([OTHER] * 150 + [TAG]), 304),
        ('"a,b", ' + TAG, 304),
        (OTHER, 200),
        (", ".join([OTHER] * 150), 200),
        ("", 200),
        (",", 200),
        (TAG.strip('"'), 200),
        (f"garbage, {TAG}", 200),
        (f"{TAG} garbage", 200),
        (f"*, {TAG}", 200),
        ("w/" + TAG, 200),
        ('"' * 10000, 200),
        ("," * 10000 + "x", 200),
    ],
)
def test_if_none_match_spares_the_bytes(method, field, status):
    """Case 63: a cache would fetch again what it has, or keep what it has not."""
    got = ask(method=method, If_None_Match=field)
    assert (got.status, got.length) == (status, 0 if status == 304 else 10)


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (TAG, 200),
        ("*", 200),
        (f"{OTHER}, {TAG}", 200),
        (OTHER, 412),
        ("W/" + TAG, 412),
        ("garbage", 412),
        ("", 412),
        (", ".join([OTHER] * 150), 412),
    ],
)
def test_if_match_guards(field, status):
    """Case 62: a client would go on with another file than the one it knows."""
    assert ask(If_Match=field).status == status


def test_the_order_of_the_conditions():
    """RFC 9110, section 13.2.2: If-Match, then If-None-Match, then the range."""
    assert ask(If_Match=OTHER, If_None_Match=TAG, Range="bytes=99-").status == 412
    assert ask(If_Match=TAG, If_None_Match=TAG, Range="bytes=99-").status == 304
    assert ask(If_Match=TAG, If_None_Match=OTHER, Range="bytes=99-").status == 416
    assert ask(If_None_Match=TAG, method="DELETE").status == 412


def test_dates_never_match():
    """We send no Last-Modified, so a date would compare with nothing."""
    past, future = "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 21 Oct 2099 07:28:00 GMT"
    assert ask(If_Modified_Since=future).status == 200
    assert ask(If_Unmodified_Since=past).status == 200


def test_a_plain_dict_serves_as_headers():
    """Other protocols could not judge ranges without a Flask request."""
    assert select("GET", {"Range": "bytes=1-1"}, TAG, 2).status == 206


@RELAXED
@given(st.integers(0, 12), st.none() | st.integers(0, 12), st.integers(0, 12))
def test_slices_equal_those_of_python(first, last, size):
    """An off-by-one would lose or double a byte at a seam."""
    if last is not None and last < first:
        return
    content = bytes(range(size))
    got = ask(size, Range=f"bytes={first}-{'' if last is None else last}")
    expected = content[first:] if last is None else content[first : last + 1]
    assert content[got.start : got.start + got.length] == expected
    assert got.status == (206 if expected else 416)


@RELAXED
@given(st.text(), st.text(), st.text(), st.text(), st.integers(0, 2**40))
def test_no_header_breaks_it(asked, if_range, if_match, if_none_match, size):
    """A hostile header would be a 500, or a slice outside the file."""
    got = select(
        "GET",
        {"Range": "bytes=" + asked, "If-Range": if_range, "If-Match": if_match, "If-None-Match": if_none_match},
        TAG,
        size,
    )
    assert got.start + got.length <= size
