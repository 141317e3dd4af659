"""The documentation and the routes say the same; every example works; the pages need no other host."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore import errors
from blobstore.api import docs
from blobstore.api.errors import status_of
from blobstore.api.phrases import phrase
from blobstore.app import create_app
from blobstore.environment import load
from blobstore.errors import BlobstoreError
from tests.api.openapi import METHODS, Example, Operation, check_shape, examples, operations, references
from tests.conftest import SECRET_KEY

DOCUMENT = docs.document()
OPERATIONS = list(operations(DOCUMENT))
EXAMPLES = [example for operation in OPERATIONS for example in examples(operation)]
SECURED = [operation for operation in OPERATIONS if operation.spec["security"] and {} not in operation.spec["security"]]
HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
NOT_OF_THE_DOMAIN = {"range_not_satisfiable": 416, "uri_too_long": 414}
"""Codes of api/ itself, and of the server."""

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def routes(app: Flask) -> Iterator[tuple[str, str, bool]]:
    """(method, path with nameless parameters, whether Flask added it to a GET)."""
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith(("docs.", "pages.")):
            path = re.sub(r"<[^>]+>", "{}", rule.rule)
            for method in rule.methods or ():
                yield method.lower(), path, method == "OPTIONS" or (method == "HEAD" and "GET" in (rule.methods or ()))


def error_classes(kind: type[BlobstoreError] = BlobstoreError) -> Iterator[type[BlobstoreError]]:
    """The errors that are raised: those without a more exact one."""
    children = [child for child in kind.__subclasses__() if child.__module__.startswith(errors.__name__ + ".")]
    for child in children:
        yield from error_classes(child)
    if not children:
        yield kind


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An application whose database is never asked."""
    given = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "SECRET_KEY": SECRET_KEY,
        "BLOBSTORE_DATA": str(tmp_path_factory.mktemp("bare")),
    }
    return create_app(load(given, None))


@pytest.fixture
def pages(bare: Flask) -> FlaskClient:
    """A client of it."""
    return bare.test_client()


def test_every_route_is_documented(bare: Flask) -> None:
    """A route would be in no documentation."""
    documented = {(operation.method, re.sub(r"{\w+}", "{}", operation.path)) for operation in OPERATIONS}
    assert {(method, path) for method, path, added in routes(bare) if not added} - documented == set()


def test_everything_documented_is_a_route(bare: Flask) -> None:
    """The documentation would promise what there is not."""
    there = {(method, path) for method, path, _ in routes(bare)}
    assert {str(one) for one in OPERATIONS if (one.method, re.sub(r"{\w+}", "{}", one.path)) not in there} == set()


def test_every_file_is_in_the_table_of_contents() -> None:
    """A specification would lie in the folder and be shown nowhere."""
    shared = {"openapi", "components", "schemas", "responses"}
    listed = docs._load("openapi")["paths"]
    assert sorted(listed) == sorted({file.stem for file in docs.SPECS.glob("*.yml")} - shared)


def test_the_document_is_openapi_3() -> None:
    """Tools that read OpenAPI would refuse the document."""
    assert DOCUMENT["openapi"] == "3.0.3"
    assert DOCUMENT["info"]["title"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", DOCUMENT["info"]["version"])
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"basic", "bearer"}
    assert {method for path in DOCUMENT["paths"].values() for method in path} <= set(METHODS)
    names = [operation.spec["operationId"] for operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_references_lead_somewhere_and_nothing_is_left_over() -> None:
    """A reference would point into the void, or a component be there that nothing uses."""
    used = set(references(DOCUMENT))
    there = {
        f"#/components/{kind}/{name}"
        for kind, entries in DOCUMENT["components"].items()
        for name in entries
        if kind != "securitySchemes"
    }
    assert used == there


@every_operation
def test_an_operation_is_whole(operation: Operation) -> None:
    """Swagger UI would show a call without words, without a place, or without what it answers."""
    spec = operation.spec
    assert spec["summary"]
    assert not spec["summary"].endswith(".")
    assert spec["description"]
    assert len(spec["tags"]) == 1
    assert spec["tags"][0] in [tag["name"] for tag in DOCUMENT["tags"]]
    assert any(status.startswith("2") for status in spec["responses"])
    assert all(response["description"] for response in spec["responses"].values())
    named = {one["name"] for one in spec["parameters"] if one["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", operation.path))


@every_operation
def test_a_parameter_is_whole(operation: Operation) -> None:
    """A person would not know what to write, or `Try it out` would send nothing where something is required."""
    seen = [(one["in"], one["name"]) for one in operation.spec["parameters"]]
    assert len(seen) == len(set(seen))
    for parameter in operation.spec["parameters"]:
        assert parameter["description"]
        assert parameter.get("required", False) is (parameter["in"] == "path")
        assert "example" in parameter or not parameter.get("required")
        if "example" in parameter:
            check_shape(DOCUMENT, parameter["schema"], parameter["example"])


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_of_a_body_has_its_documented_shape(example: Example) -> None:
    """`Try it out` would send a body that its own documentation calls wrong."""
    if example.body is None:
        assert example.media_type in (None, "multipart/form-data", "application/octet-stream")
        return
    schema = example.operation.spec["requestBody"]["content"][example.media_type]["schema"]
    check_shape(DOCUMENT, schema, example.body)


@every_operation
def test_errors_are_documented_where_they_can_happen(operation: Operation) -> None:
    """A client's programmer would not learn which errors to expect."""
    expected = {"414"}
    if operation.spec["security"]:
        expected |= {"401", "429", "503"}
    if operation in SECURED:
        expected |= {"403"}
    if operation.method not in ("put", "head") and ("{id}" in operation.path or "{sha256}" in operation.path):
        expected |= {"404"}
    content = operation.spec["requestBody"].get("content", {})
    if content:
        expected |= {"400", "408", "413", "415"}
    if "application/json" in content:
        expected |= {"422"}
    if content and operation.spec["tags"] == ["Upload"]:
        expected |= {"409", "411", "501", "507"}
    assert expected - set(operation.spec["responses"]) == set()


@every_operation
def test_the_codes_of_an_error_have_that_status(operation: Operation) -> None:
    """The documentation would name a code that there is not, or under the wrong status."""
    known = {kind.code: status_of(kind) for kind in error_classes()} | {"bad_request": 400} | NOT_OF_THE_DOMAIN
    for status, response in operation.spec["responses"].items():
        if status < "400" or operation.path.startswith("/health") or status == "412":
            continue
        codes = re.findall(r"`([a-z]+(?:_[a-z]+)+|busy)`", response["description"])
        assert codes, f"{status} names no code"
        assert {code: known.get(code) for code in codes} == dict.fromkeys(codes, int(status))


@every_operation
def test_an_error_that_passes_says_when_to_come_back(operation: Operation) -> None:
    """A client's programmer would not learn that he is told how long to wait."""
    for status, response in operation.spec["responses"].items():
        assert (status in ("429", "503", "507")) is ("Retry-After" in response.get("headers", {})), status


@every_operation
def test_the_example_of_an_error_is_that_error(operation: Operation) -> None:
    """The page would show one error under the status of another."""
    for status, response in operation.spec["responses"].items():
        content = response.get("content", {}).get("application/problem+json")
        if content is not None:
            check_shape(DOCUMENT, content["schema"], content["example"])
            assert (content["example"]["status"], content["example"]["title"]) == (int(status), phrase(int(status)))
            assert f"`{content['example']['code']}`" in response["description"]


def test_every_error_is_documented() -> None:
    """A client would meet a code that no page explains."""
    text = "".join(one["description"] for operation in OPERATIONS for one in operation.spec["responses"].values())
    codes = {kind.code for kind in error_classes()}
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_the_document_is_served_and_kept(pages: FlaskClient) -> None:
    """Swagger UI would get no document, or the service would put it together for every request."""
    first = pages.get("/openapi.json")
    assert first.json == DOCUMENT
    again = pages.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert docs._encoded.cache_info().misses == 1


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_page_loads_only_from_here(pages: FlaskClient, path: str) -> None:
    """The documentation would tell another host who reads it, or would not work without a way to the Internet."""
    page = pages.get(path)
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'"
    )
    assert page.headers["X-Frame-Options"] == "DENY"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {link.removeprefix("/docs/") for link in links} == {*docs.ASSETS, "/openapi.json"}
    assert re.findall(r"<script(?! src=)", page.text) == []


@pytest.mark.parametrize("name", docs.ASSETS)
def test_what_the_page_loads_is_there(pages: FlaskClient, name: str) -> None:
    """The page would stay empty, or a browser would refuse a script for its type."""
    answer = pages.get(f"/docs/{name}")
    kinds = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
    assert (answer.status_code, answer.mimetype) == (200, kinds[name.rpartition(".")[2]])
    again = pages.get(f"/docs/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    answer.close()
    again.close()


@pytest.mark.parametrize("name", ["swagger-ui.js", "oauth2-redirect.html", "..%2Ftemplates%2Fdocs.html", "__init__.py"])
def test_nothing_else_of_the_folders_is_served(pages: FlaskClient, name: str) -> None:
    """Files that nobody looked at would be served as pages of this service."""
    assert pages.get(f"/docs/{name}").status_code == 404


def test_the_root_leads_to_the_documentation(pages: FlaskClient) -> None:
    """A person who opens the address that the service prints would see an error."""
    answer = pages.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")
