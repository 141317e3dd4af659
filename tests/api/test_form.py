"""Multipart forms: exact bytes, limits, and what RFC 7578 has abandoned; the numbers are the cases of bad input."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobstore.api.form import MAX_FIELDS_BYTES, Field, FilePart, parts
from blobstore.errors import (
    BadMultipart,
    BadText,
    BlobstoreError,
    FormTooLarge,
    IncompleteBody,
    LengthRequired,
    TooManyFiles,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
)
from tests.api.sweep import BLOCK, form_body, form_environ, mismatches, received

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no failure."""
FILE = 'name="file"; filename="a.txt"'


def read(*sent, boundary="b", segment=1 << 20):
    return received(form_environ(form_body(boundary, *sent), boundary, segment))


def part(head, content=b"x"):
    return b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--\r\n"


def read_part(*lines):
    return received(form_environ(part(b"\r\n".join(lines)), "b"))


@pytest.mark.parametrize("segment", [1447, 65536, 1 << 20])
def test_bytes_around_the_block_are_exact(segment):
    """L1: a size near a multiple of 64 KiB would be stored with a byte more or less, as by another parser."""
    near = [block * BLOCK + around for block in (1, 2) for around in (*range(-90, -50, 3), *range(-5, 6), 190)]
    assert not mismatches(near, tails=(b"", b"\r\n--"), segments=[segment])


def test_every_tail_and_boundary_is_exact():
    """L1: a content that ends like the beginning of a boundary would lose its end."""
    assert not mismatches((BLOCK - 1, BLOCK, BLOCK + 1, 65346))
    assert not mismatches(range(0, 120, 7), segments=(1, 2, 3, 7))


@RELAXED
@given(
    st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b", b"\r\n--", b"b", b"x"]), max_size=30), max_size=4),
    st.integers(1, 40),
)
def test_any_contents_are_exact(contents, segment):
    """A content made of the pieces of a boundary would come out changed."""
    joined = [content for content in map(b"".join, contents) if b"\r\n--b" not in b"\r\n" + content]
    got = read(*[(FILE, content) for content in joined], segment=segment)
    assert got == [("file", "a.txt", content) for content in joined]


def test_fields_and_files_come_in_order():
    """An option sent before or after the file would be lost."""
    got = read(('name="folder"', b"/a"), (FILE, b"1"), ('name="größe"', "ü€".encode()), (FILE, b""))
    assert got == [Field("folder", "/a"), ("file", "a.txt", b"1"), Field("größe", "ü€"), ("file", "a.txt", b"")]


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        ('name="file"; filename="a b;c.txt"', "a b;c.txt"),
        ('name="file"; filename="日本.txt"', "日本.txt"),
        ('name="file"; filename="say %22hi%22.txt"', 'say "hi".txt'),
        ('name="file"; filename="say \\"hi\\".txt"', 'say "hi".txt'),
        ("name=file; filename=a.txt", "a.txt"),
        ('name="file"; filename=""', ""),
        ('name="file"; filename="=?utf-8?B?w7w=?="; filename*=utf-8\'\'%C3%BC.txt', "ü.txt"),
        ("name=file; filename*=UTF-8'de'a%20b", "a b"),
        ('name="file"; filename="; filename*=x"', "; filename*=x"),
        ('name="file"; filename="a"; x="\\"; filename*=x', "a"),
    ],
)
def test_filenames(parameters, filename):
    """Some client's files would be stored under a mangled name."""
    assert read((parameters, b"1")) == [("file", filename, b"1")]


def test_pieces_arrive_before_the_form_ends():
    """A form would be held in memory as a whole."""
    body = form_body("b", (FILE, bytes(1 << 20)))
    environ = form_environ(body, "b", segment=4096)
    first = next(parts(environ))
    assert isinstance(first, FilePart)
    next(first.pieces)
    assert environ["wsgi.input"].tell() <= 8192


def test_a_part_that_nobody_reads_is_skipped():
    """The bytes of an unknown file would be taken for the next part."""
    names = [part.name for part in parts(form_environ(form_body("b", (FILE, b"x" * 9), ('name="z"', b"1")), "b", 5))]
    assert names == ["file", "z"]


def test_pieces_asked_for_too_late_are_refused():
    """One file would silently get the bytes of another."""
    first, _ = parts(form_environ(form_body("b", (FILE, b"1"), (FILE, b"2")), "b"))
    with pytest.raises(RuntimeError):
        list(first.pieces)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\tb"',
        'multipart/form-data; boundary="ü"',
        'multipart/form-data; boundary="x "',
    ],
)
def test_a_form_has_a_boundary(content_type):
    """Case 22: the parser would look for nothing, or for something too long."""
    with pytest.raises(BadMultipart):
        parts(form_environ(b"--b--", "b") | {"CONTENT_TYPE": content_type})


@pytest.mark.parametrize("content_type", ["", "multipart/mixed; boundary=b", "application/x-www-form-urlencoded", "x"])
def test_only_form_data_is_a_form(content_type):
    """Another type would be parsed by the wrong rules."""
    with pytest.raises(UnsupportedMediaType):
        parts(form_environ(b"--b--", "b") | {"CONTENT_TYPE": content_type})


def test_framing_is_judged_at_once():
    """A caller that looks at the parts late would answer 200 to a body without an end."""
    environ = form_environ(form_body("b"), "b")
    with pytest.raises(UnsupportedContentEncoding):
        parts(environ | {"HTTP_CONTENT_ENCODING": "gzip"})
    with pytest.raises(LengthRequired):
        parts(environ | {"CONTENT_LENGTH": ""})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(form_body("b", (FILE, b"x"))[:-6], id="26-no-closing-boundary"),
        pytest.param(form_body("b", (FILE, b"x"))[:-3], id="26-half-closing-boundary"),
        pytest.param(form_body("b", (FILE, b"x")).replace(b"\r\n", b"\n"), id="26-bare-lf"),
        pytest.param(b"x" + form_body("b", (FILE, b"x")), id="byte-before"),
        pytest.param(b"--b\r\n\r\nx\r\n--b--", id="no-headers"),
        pytest.param(part(b"Content-Disposition: attachment; name=x"), id="not-form-data"),
        pytest.param(part(b"Content-Disposition: form-data"), id="no-name"),
        pytest.param(part(b'Content-Disposition: form-data; name=""'), id="empty-name"),
        pytest.param(part(b"no colon"), id="no-colon"),
        pytest.param(part(b"Content-Disposition: form-data; name=a; filename=\xff"), id="filename-not-utf8"),
        pytest.param(part(b"Content-Disposition: form-data; name=a; filename*=latin1''x"), id="filename*-latin1"),
        pytest.param(part(b"Content-Disposition: form-data; name=a; filename*=UTF-8''%ff"), id="filename*-not-utf8"),
        pytest.param(part(b"Content-Disposition: form-data; name=a", b"\xff"), id="field-not-utf8"),
        pytest.param(part(b"Content-Disposition: form-data; name=a", b"\xed\xa0\x80"), id="field-surrogate"),
        pytest.param(part(b"Content-Disposition: form-data; name=a\r\nContent-Length: 2"), id="wrong-part-length"),
        pytest.param(b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--bad\r\n--b--", id="longer-boundary"),
    ],
)
def test_broken_forms(body):
    """A form that is not whole would be stored as if it were."""
    with pytest.raises(BadMultipart):
        received(form_environ(body, "b"))


@pytest.mark.parametrize("value", [b"base64", b"BASE64", b"quoted-printable", b"x", b""])
def test_nothing_is_decoded(value):
    """Case 27: the bytes stored would not be the bytes sent, or not the bytes meant."""
    with pytest.raises(BadMultipart):
        read_part(b"Content-Disposition: form-data; " + FILE.encode(), b"content-transfer-encoding: " + value)


@pytest.mark.parametrize("value", [b"binary", b"8bit", b"7BIT"])
def test_identity_encodings_pass(value):
    """Some Java clients name the encoding that changes nothing, and could not upload."""
    sent = (b"Content-Disposition: form-data; " + FILE.encode(), b"Content-Transfer-Encoding: " + value)
    assert read_part(*sent) == [("file", "a.txt", b"x")]


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Disposition: form-data; name=_charset_",),
        (b"Content-Disposition: form-data; name=a", b"Content-Type: multipart/mixed; boundary=c"),
        (b"Content-Disposition: form-data; name=a", b"Content-Type: text/plain; charset=latin-1"),
        (b"Content-Disposition: form-data; name=a", b"Content-Disposition: form-data; name=b"),
        (b"Content-Disposition: form-data; name=a", b"Content-Type: a/b", b"Content-Type: c/d"),
    ],
)
def test_what_has_two_meanings_is_refused(lines):
    """Case 29: we and a filter before us would read two different forms."""
    with pytest.raises(BadMultipart):
        read_part(*lines)


def test_a_field_without_filename_is_no_file():
    """Case 23: a text field called `file` would be stored as a file."""
    assert read(('name="file"', b"x")) == [Field("file", "x")]


def test_nul_in_a_field_is_bad_text():
    """PostgreSQL cannot hold it, so this would be a 500."""
    with pytest.raises(BadText):
        read(('name="tags"', b"a\0b"))


def test_the_limits_themselves_pass():
    """The limits would be one short."""
    sent = [(FILE, b"1")] * 100 + [('name="tags"', b"x")] * 100
    assert len(read(*sent)) == 200
    assert read(('name="a"', b"x" * MAX_FIELDS_BYTES)) == [Field("a", "x" * MAX_FIELDS_BYTES)]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        pytest.param([(FILE, b"1")] * 101, TooManyFiles, id="24-101-files"),
        pytest.param([('name="a"', b"1")] * 101, FormTooLarge, id="25-101-fields"),
        pytest.param([('name="a"', b"1")] * 2000, FormTooLarge, id="25-2000-fields"),
        pytest.param([(f'name="{"a" * 10240}"', b"1")], FormTooLarge, id="25-long-header"),
        pytest.param([('name="a"' + f"\r\nX: {'a' * 1000}" * 5, b"1")], FormTooLarge, id="25-long-headers"),
        pytest.param([('name="a"' + "\r\nX: a" * 100, b"1")], FormTooLarge, id="25-100-headers"),
        pytest.param([('name="a"', b"x" * (MAX_FIELDS_BYTES + 1))], FormTooLarge, id="28-long-field"),
        pytest.param([('name="a"', b"x" * (MAX_FIELDS_BYTES // 2 + 1))] * 2, FormTooLarge, id="28-long-fields"),
    ],
)
@pytest.mark.parametrize("segment", [1447, 1 << 20])
def test_limits(sent, error, segment):
    """Cases 24, 25 and 28: a form would fill the memory, or keep a worker busy."""
    with pytest.raises(error):
        read(*sent, segment=segment)


@pytest.mark.parametrize("segment", [1447, 1 << 20])
def test_a_long_field_is_refused_before_it_is_read(segment):
    """Case 28: 50 MiB of text would be collected."""
    environ = form_environ(form_body("b", ('name="a"', bytes(8 << 20))), "b", segment)
    with pytest.raises(FormTooLarge):
        received(environ)
    assert environ["wsgi.input"].tell() <= 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\r\n" * (2 << 20) + form_body("b"), id="preamble"),
        pytest.param(form_body("b") + b"x" * (4 << 20), id="epilogue"),
        pytest.param(form_body("b", ('name="unknown"; filename="x"', bytes(4 << 20))), id="unread-part"),
    ],
)
def test_what_nobody_wants_is_bounded(body):
    """A body of any length would be received for nothing."""
    with pytest.raises(FormTooLarge):
        list(parts(form_environ(body, "b", 65536)))


@pytest.mark.parametrize("segment", [1, 1 << 20])
def test_a_form_cut_at_every_byte_is_never_whole(segment):
    """L2: an upload that broke off would be acknowledged."""
    body = form_body("b", ('name="folder"', b"/a"), (FILE, b"x" * 100), (FILE, b"\r\n--"))
    for end in range(len(body)):
        with pytest.raises(IncompleteBody):
            received(form_environ(body, "b", segment) | {"wsgi.input": form_environ(body[:end], "b")["wsgi.input"]})


@pytest.mark.parametrize("segment", [1, 5, 1 << 20])
def test_a_form_whose_length_was_cut_too_is_whole_only_at_its_end(segment):
    """L2: without a Content-Length that tells, only the closing boundary does."""
    body = form_body("b", (FILE, b"x" * 100))
    for end in range(len(body) - 2):
        with pytest.raises(BadMultipart):
            received(form_environ(body[:end], "b", segment))
    assert received(form_environ(body[:-2], "b", segment))


@RELAXED
@given(st.lists(st.sampled_from([b"--b", b"\r\n", b"--", b":", b";", b'"', b"=", b"\\", b"%", b"\xff", b"\0",
    b"Content-Disposition", b"form-data", b"name", b"filename", b"*", b"Content-Length", b"1", b" "]), max_size=60),
    st.integers(1, 50))  # fmt: skip
def test_hostile_forms_are_answered(tokens, segment):
    """A hostile body would be a 500, or be read differently by another cut of the network."""
    answers = []
    for size in (segment, 1 << 20):
        try:
            answers.append(received(form_environ(b"--b\r\n" + b"".join(tokens), "b", size)))
        except BlobstoreError as error:
            answers.append(type(error))
    assert answers[0] == answers[1]
