"""Digest: holding one proves that it was checked."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blobstore.digest import EMPTY, Digest
from blobstore.errors import BadDigest

HEX = "0123456789abcdef" * 4


@given(st.binary(min_size=32, max_size=32))
def test_every_form_names_the_same_digest(raw: bytes) -> None:
    """If this failed, a digest would change on its way between hex, bytes and base64."""
    digest = Digest.from_bytes(raw)
    assert str(digest) == digest.hex == raw.hex()
    assert Digest.parse(digest.hex) == Digest.parse(digest.hex.upper()) == Digest(digest.hex) == digest
    assert b64decode(digest.base64, validate=True) == raw


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX[1:],
        HEX + "0",
        HEX + "\n",
        "\n" + HEX,
        " " + HEX[1:],
        "0x" + HEX[2:],
        "g" + HEX[1:],
        "-" + HEX[1:],
        "../" + HEX[3:],
        "\0" + HEX[1:],
        "\uff11" + HEX[1:],
        "\u0661" + HEX[1:],
        "\udc80" + HEX[1:],
        "\u212a" + HEX[1:],
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """If this failed, unchecked text would become a path, a key or a row."""
    for read in (Digest.parse, Digest):
        with pytest.raises(BadDigest):
            read(text)


@given(st.text(max_size=70))
def test_what_is_accepted_is_64_hex_digits(text: str) -> None:
    """If this failed, some other text would pass as a digest."""
    try:
        digest = Digest.parse(text)
    except BadDigest:
        return
    assert len(digest.hex) == 64
    assert set(digest.hex) <= set("0123456789abcdef")


def test_upper_case_is_read_but_never_held() -> None:
    """If this failed, one content could have two names."""
    assert Digest.parse(HEX.upper()).hex == HEX
    with pytest.raises(BadDigest):
        Digest(HEX.upper())


@pytest.mark.parametrize("length", [0, 20, 31, 33, 64])
def test_raw_bytes_of_another_length_are_refused(length: int) -> None:
    """If this failed, a SHA-1 or SHA-512 would pass for a SHA-256."""
    with pytest.raises(BadDigest):
        Digest.from_bytes(bytes(length))


def test_a_digest_cannot_be_changed() -> None:
    """If this failed, holding a digest would no longer prove that it was checked."""
    digest = Digest(HEX)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        digest.hex = "../../etc/passwd"  # type: ignore[misc]
    assert {digest: 1}[Digest(HEX)] == 1


def test_the_empty_digest_is_that_of_no_bytes() -> None:
    """If this failed, empty files would be looked for under a wrong name."""
    assert hashlib.sha256(b"").hexdigest() == EMPTY.hex


def test_digests_sort_as_their_text_does() -> None:
    """If this failed, two transactions would lock the same blobs in different orders, a deadlock."""
    digests = [Digest(hashlib.sha256(bytes([number])).hexdigest()) for number in range(50)]
    assert [digest.hex for digest in sorted(digests)] == sorted(digest.hex for digest in digests)
