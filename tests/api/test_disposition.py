"""Content-Disposition: what a client stores a download as."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from blobstore.api.disposition import content_disposition
from blobstore.core.names import parse_name
from blobstore.errors import BadName

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no failure."""
PLAIN = re.compile(r'(attachment|inline); filename="([^"\\%/\x00-\x1f\x7f-\U0010ffff]+)"(; filename\*=UTF-8\'\'(\S+))?')


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("cat.png", "cat.png"),
        ("a;b, c=d.txt", "a;b, c=d.txt"),
        ('say "hi".txt', "say _hi_.txt"),
        ("back\\slash", "back_slash"),
        ("100%22.txt", "100_22.txt"),
        ("résumé.pdf", "resume.pdf"),
        ("日本.txt", "__.txt"),
        ("€ 😀", "_ _"),
        ("．．", "download"),
        ("℀", "a_c"),
    ],
)
def test_a_name_comes_back_whole(name, plain):
    """Case 50: the file would be stored under another name, or a quote would end the header."""
    header = content_disposition("attachment", name)
    found = PLAIN.fullmatch(header)
    assert found
    assert found[2] == plain
    kind, options = parse_options_header(header)
    assert (kind, options["filename"]) == ("attachment", name)


def test_a_plain_name_has_no_second_spelling():
    """Old clients that stumble over filename* would stumble over every file."""
    assert content_disposition("inline", "cat.png") == 'inline; filename="cat.png"'


@RELAXED
@given(st.text(max_size=100))
def test_every_name_round_trips(text):
    """Some name would break the header or come back as another."""
    try:
        name = parse_name(text)
    except BadName:
        return
    header = content_disposition("inline", name)
    assert PLAIN.fullmatch(header)
    assert parse_options_header(header)[1]["filename"] == name


@RELAXED
@given(st.text(alphabet=st.characters(), max_size=30))
def test_no_text_splits_the_header(text):
    """A name that skipped the parser would inject a header."""
    header = content_disposition("attachment", text)
    assert header.isascii()
    assert header.isprintable()
