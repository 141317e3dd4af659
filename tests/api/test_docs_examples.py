"""Every example of the documentation works, and what is answered has the documented shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blobstore.api import docs
from blobstore.core import accounts, bans, keys, new_email, sessions, tickets
from blobstore.core.accounts import Account
from blobstore.core.actor import OPERATOR
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from blobstore.digest import Digest
from tests.api.openapi import Example, Operation, check_shape, examples, operations
from tests.api.test_metrics import TOKEN
from tests.conftest import PASSWORD, signed_in

DOCUMENT = docs.document()
OPERATIONS = {operation.spec["operationId"]: operation for operation in operations(DOCUMENT)}
EXAMPLES = [example for operation in OPERATIONS.values() for example in examples(operation)]
EXAMPLES_OF = {example.operation.spec["operationId"]: example for example in EXAMPLES}


def send(client: FlaskClient, example: Example, ids: dict[str, str] | None = None, **headers: str) -> TestResponse:
    """Send an example as a browser would; `ids` take the place of those that nobody can know in advance."""
    path, body = example.operation.path, example.body
    for name, value in {**example.path, **(ids or {})}.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    if example.media_type == "application/json":
        body = json.dumps(body)
    elif example.media_type == "multipart/form-data":
        body = {"file": (BytesIO(b"hello"), "hello.txt")}
    elif example.media_type is not None:
        body = b"hello" if body is None else body
    return client.open(
        path,
        method=example.operation.method.upper(),
        data=body,
        content_type=example.media_type,
        query_string=example.query,
        headers={**example.headers, **headers},
    )


def check_documented(operation: Operation, answer: TestResponse) -> None:
    """Fail unless the answer's status, type, headers and shape are those of the specification."""
    response = operation.spec["responses"].get(str(answer.status_code))
    assert response is not None, f"{operation} answers {answer.status_code}, which is not documented: {answer.text}"
    content = response.get("content", {})
    if operation.method == "head" or not content:
        assert answer.status_code == 302 or answer.data == b""
        return
    if "*/*" in content and answer.mimetype not in content:
        return
    assert answer.mimetype in content
    schema = content[answer.mimetype]["schema"]
    value = answer.get_json(force=True) if (answer.mimetype or "").endswith("json") else answer.text
    check_shape(DOCUMENT, schema, value)


@pytest.fixture
def given(request: pytest.FixtureRequest) -> dict[str, str]:
    """Anybody may sign up, mail is sent, and there are metrics where they are asked for."""
    mail = {"SMTP_HOST": "127.0.0.1", "MAIL_FROM": "files@files.example", "BASE_URL": "http://localhost"}
    metrics = {"BLOBSTORE_METRICS_TOKEN": TOKEN} if "another_call_works[GET /metrics]" in request.node.name else {}
    return {**mail, **metrics, "BLOBSTORE_REGISTRATION": "open"}


@pytest.fixture
def ids(client: FlaskClient, store: Store, user: Account) -> dict[str, str]:
    """The ids of a public file with the text `hello`, of an API key and of a login, all of the client's user."""
    file = client.post("/upload?name=hello.txt", data=b"hello", content_type="text/plain").json
    assert file is not None
    key, _ = keys.issue(store, user.id, "a key", [Scope.READ])
    log_in(client)
    return {"file": file["id"], "key": key.id, "session": sessions.sessions(store, user.id)[0].id}


def log_in(client: FlaskClient) -> str:
    """A login token of the client's user."""
    return str(send(client, with_secrets(EXAMPLES_OF["log_in"])).get_json()["access_token"])


def ticket_for(store: Store, name: str) -> str:
    """The ticket of `me` that this operation redeems."""
    if name != "verify_email":
        return tickets.issue(store, "me")[0]
    new_email.set_email(store, "me", "me@files.example", OPERATOR)
    return tickets.issue(store, "me", tickets.Purpose.EMAIL)[0]


def with_secrets(example: Example, **known: str) -> Example:
    """The example with what only the user can know in place of what the page shows."""
    if not isinstance(example.body, dict):
        return example
    secrets = {"current": PASSWORD, "password": PASSWORD, **known}
    return replace(example, body={name: secrets.get(name, value) for name, value in example.body.items()})


def secured_examples() -> Iterator[Example]:
    """One example of each call that needs credentials."""
    for operation in OPERATIONS.values():
        if operation.spec["security"] and {} not in operation.spec["security"]:
            yield next(examples(operation))


def ids_of(operation: Operation, ids: dict[str, str]) -> dict[str, str]:
    kind = next((kind for kind in ("key", "session") if f"/{kind}s/" in operation.path), "file")
    return {"id": ids[kind]} if "{id}" in operation.path else {}


def is_for_admins(example: Example) -> bool:
    return bool(example.operation.spec["tags"] == ["Administration"])


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.operation.spec["tags"] == ["Upload"]], ids=str)
def test_the_example_of_an_upload_works(client: FlaskClient, example: Example) -> None:
    """A person who presses `Try it out` would see an error, or an answer of another shape than the page says."""
    first, again = send(client, example), send(client, example)
    expected = (200, 200) if example.operation.method == "head" else (201, 200)
    assert (first.status_code, again.status_code) == expected
    check_documented(example.operation, first)
    check_documented(example.operation, again)


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.operation.spec["tags"] != ["Upload"]], ids=str)
def test_the_example_of_another_call_works(
    client: FlaskClient, chief: FlaskClient, store: Store, ids: dict[str, str], example: Example
) -> None:
    """The same, for a person who has uploaded the text `hello` and takes the ids of his own file, key and login."""
    name = example.operation.spec["operationId"]
    if is_for_admins(example) and name != "add_user":
        accounts.add(store, "ann", PASSWORD)
    if name == "lift_ban":
        bans.ban(store, Digest(example.path["sha256"]), "for the test", OPERATOR)
    bearers = {"log_out": lambda: log_in(client), "metrics": lambda: TOKEN}
    headers = {"Authorization": f"Bearer {bearers[name]()}"} if name in bearers else {}
    asked = with_secrets(example, ticket=ticket_for(store, name))
    answer = send(chief if is_for_admins(example) else client, asked, ids_of(example.operation, ids), **headers)
    expected = next(
        status for status in ("302", "204", "202", "201", "200") if status in example.operation.spec["responses"]
    )
    assert answer.status_code == int(expected), answer.text
    check_documented(example.operation, answer)


def test_the_files_of_a_form_are_answered_as_documented(app: Flask, store: Store) -> None:
    """The answer to a form with several files, of which one is refused, would have another shape than the page says."""
    operation = OPERATIONS["upload"]
    form: dict[str, Any] = {"file": [(BytesIO(b"a"), "a"), (BytesIO(b"too much"), "b")]}
    accounts.add(store, "poor", PASSWORD, quota_bytes=8)
    answer = signed_in(app, "poor").post("/upload", data=form, content_type="multipart/form-data")
    assert answer.status_code == 207
    check_documented(operation, answer)


def test_a_signed_link_is_answered_as_documented(
    client: FlaskClient, anybody: FlaskClient, ids: dict[str, str]
) -> None:
    """The link to a private file, or its refusal, would have another shape than the page says."""
    operation = OPERATIONS["download_file"]
    answer = client.get(f"/api/v1/files/{ids['file']}/download?mode=url")
    check_documented(operation, answer)
    url = answer.get_json()["download_url"]
    assert anybody.get(url).data == b"hello"
    refused = anybody.get(url + "x")
    assert refused.status_code == 403
    check_documented(operation, refused)


@pytest.mark.parametrize("output", ["json", "html"])
def test_a_short_link_answers_as_documented(client: FlaskClient, ids: dict[str, str], output: str) -> None:
    """What others see of a file would have another shape than the page says."""
    operation = OPERATIONS["short_link"]
    check_documented(operation, client.get(f"/s/{ids['file']}?output={output}"))


def test_nobody_is_refused_as_documented(anybody: FlaskClient) -> None:
    """A call that the page shows with a lock would be open, or its refusal have another shape."""
    for example in secured_examples():
        answer = send(anybody, example)
        assert answer.status_code == 401, example
        check_documented(example.operation, answer)


def test_a_key_without_the_scope_is_refused_as_documented(anybody: FlaskClient, store: Store, user: Account) -> None:
    """A call would not ask for the scope of an API key, or its refusal have another shape."""
    _, key = keys.issue(store, user.id, "of no use here", [Scope.ADMIN])
    for example in secured_examples():
        answer = send(anybody, example, Authorization=f"Bearer {key}")
        assert answer.status_code == 403, example
        check_documented(example.operation, answer)


def test_a_key_of_one_folder_is_answered_as_documented(anybody: FlaskClient, store: Store, user: Account) -> None:
    """What such a key may not ask would be refused in another shape than the page says."""
    _, key = keys.issue(store, user.id, "elsewhere", [Scope.READ, Scope.WRITE, Scope.DELETE], folder="/elsewhere")
    refused = set()
    for example in secured_examples():
        answer = send(anybody, example, Authorization=f"Bearer {key}")
        check_documented(example.operation, answer)
        if answer.status_code == 403:
            refused.add(example.operation.spec["operationId"])
    assert refused >= {"get_me", "list_keys", "rotate_key", "upload_raw_path"}
    assert refused.isdisjoint({"get_quota", "list_files", "upload_raw"})


def test_what_is_not_there_is_answered_as_documented(client: FlaskClient, chief: FlaskClient) -> None:
    """A wrong id or hash would be answered in another way than the page says."""
    for example in EXAMPLES:
        # Where PUT is answered 404 the path is no hash; those of the examples are.
        if "404" in example.operation.spec["responses"] and example.operation.method != "put":
            answer = send(chief if is_for_admins(example) else client, example)
            assert answer.status_code == 404, example
            check_documented(example.operation, answer)
