"""What is said of a content beside its bytes: the line for sha256sum and the Metalink."""

from __future__ import annotations

from urllib.parse import urlsplit
from xml.etree import ElementTree as Xml

import pytest
from flask.testing import FlaskClient

from tests.api.wire import problem, sha256, stored

NAMESPACE = {"m": "urn:ietf:params:xml:ns:metalink"}
KINDS = ("sha256", "meta4")


def test_the_line_names_the_digest_and_the_file(client: FlaskClient, anybody: FlaskClient) -> None:
    """`sha256sum -c` would not read the line, or look for another file than the one that was downloaded."""
    file = stored(client, b"hello", name="größe 1%.txt")
    answer = anybody.get(f"/{file['sha256']}.sha256")
    assert answer.text == f"{file['sha256']}  größe 1%.txt\n"
    assert answer.content_type == "text/plain; charset=utf-8"


def test_the_metalink_leads_to_the_file(client: FlaskClient, anybody: FlaskClient) -> None:
    """A client would fetch another file, or verify it by another digest."""
    for name in ("a.txt", "<b> & \"c\" 'd' 100%.txt", "日本 \U0001f600.txt", "not a \uffff character"):
        content = name.encode()
        stored(client, content, name=name)
        answer = anybody.get(f"/{sha256(content)}.meta4")
        assert answer.content_type == "application/metalink4+xml"
        (file,) = Xml.fromstring(answer.data).findall("m:file", NAMESPACE)
        assert file.attrib["name"] == name.replace("\uffff", "\ufffd")
        assert file.findtext("m:size", None, NAMESPACE) == str(len(content))
        assert file.findtext("m:hash[@type='sha-256']", None, NAMESPACE) == sha256(content)
        url = urlsplit(file.findtext("m:url", "", NAMESPACE))
        assert url.netloc == "localhost"
        assert anybody.get(url.path).data == content


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_for_whoever_may_download(
    client: FlaskClient, other: FlaskClient, anybody: FlaskClient, kind: str
) -> None:
    """A stranger would learn the name and the size of a private file; or a cache would keep a name that has changed."""
    private = stored(client, b"private", name="my secret.txt", visibility="private")
    path = f"/{private['sha256']}.{kind}"
    for stranger in (other, anybody):
        problem(stranger.get(path, headers={"If-None-Match": "*"}), 404, "not_found")
        problem(stranger.get(f"/{'0' * 64}.{kind}"), 404, "not_found")
    mine = client.get(path)
    assert (mine.status_code, "my secret.txt" in mine.text) == (200, True)
    assert (mine.headers["Cache-Control"], mine.headers["Vary"]) == ("private, no-cache", "Authorization")
    assert "Access-Control-Allow-Origin" not in mine.headers
    stored(other, b"private", name="published.txt")
    public = anybody.get(path)
    assert (public.status_code, "published.txt" in public.text, "secret" in public.text) == (200, True, False)
    assert (public.headers["Cache-Control"], public.headers["Access-Control-Allow-Origin"]) == (
        "public, max-age=60",
        "*",
    )
    assert (client.head(path).status_code, client.head(path).data) == (200, b"")
    problem(client.delete(path), 405, "method_not_allowed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_such_a_name_keeps_its_link(client: FlaskClient, anybody: FlaskClient, kind: str) -> None:
    """The link to a file called x.sha256 would lead to what is said of it, not to the file."""
    content = f"not a description, but a file: {kind}".encode()
    for name in (f"x.{kind}", f"x.{kind.upper()}"):
        file = stored(client, content, name=name)
        link = anybody.get(f"/s/{file['id']}").headers["Location"]
        for url in (file["url"], link, f"/{file['sha256']}/{name}", f"/{file['sha256']}.{kind.upper()}"):
            assert anybody.get(url).data == content, url
