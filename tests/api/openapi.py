"""An OpenAPI 3.0 document as the tests read it: its operations, their examples, and whether a value has its shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "put", "post", "delete", "patch", "head")
DESCRIBING = {"description", "example", "format", "default"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Operation:
    """One method of one path; `spec` has its references followed one level deep where the tests look."""

    method: str
    path: str
    spec: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


@dataclass(frozen=True)
class Example:
    """What `Try it out` sends without a change; `body` None for what a person has to choose or there is none."""

    operation: Operation
    media_type: str | None = None
    body: Any = None
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.operation} {self.media_type or ''}".strip()


def follow(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a reference points to, or the node itself."""
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every operation, with its parameters, body and responses in place."""
    for path, methods in document["paths"].items():
        for method, spec in methods.items():
            whole = {"security": document["security"], **spec}
            whole["parameters"] = [follow(document, one) for one in spec.get("parameters", [])]
            whole["requestBody"] = follow(document, spec.get("requestBody", {}))
            whole["responses"] = {status: follow(document, one) for status, one in spec["responses"].items()}
            yield Operation(method, path, whole)


def examples(operation: Operation) -> Iterator[Example]:
    """The operation's examples, one for each type of body."""
    given: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.spec["parameters"]:
        if "example" in parameter:
            given[parameter["in"]][parameter["name"]] = str(parameter["example"])
    bodies = operation.spec["requestBody"].get("content", {None: {}})
    for media_type, body in bodies.items():
        yield Example(operation, media_type, body.get("example"), given["path"], given["query"], given["header"])


def references(node: Any) -> Iterator[str]:
    """Every reference in the node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def check_shape(document: dict[str, Any], schema: dict[str, Any], value: Any, where: str = "$") -> None:
    """Fail unless the value has the shape, or when the schema says something that is not understood here."""
    schema = follow(document, schema)
    if "oneOf" in schema:
        fits = [choice for choice in schema["oneOf"] if _fits(document, choice, value)]
        assert len(fits) == 1, f"{where}: {len(fits)} of the shapes fit {value!r}"
        return
    if value is None:
        assert schema.get("nullable"), f"{where}: is null"
        return
    kind = TYPES[schema["type"]]
    assert isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), f"{where}: {value!r}"  # noqa: PT018
    checks = set(schema) - DESCRIBING - {"type", "nullable"}
    if isinstance(value, dict):
        _check_object(document, schema, value, where)
        checks -= {"properties", "required", "additionalProperties"}
    elif isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for index, item in enumerate(value):
            check_shape(document, schema["items"], item, f"{where}[{index}]")
        checks -= {"items", "minItems", "maxItems"}
    else:
        assert value in schema.get("enum", [value]), f"{where}: {value!r}"
        assert "minimum" not in schema or value >= schema["minimum"], f"{where}: {value!r}"
        assert "pattern" not in schema or re.search(schema["pattern"], str(value)), f"{where}: {value!r}"
        assert schema.get("format") != "date-time" or TIME.fullmatch(str(value)), f"{where}: {value!r}"
        checks -= {"enum", "minimum", "maximum", "pattern"}
    assert not checks, f"{where}: {checks} are not checked"


def _check_object(document: dict[str, Any], schema: dict[str, Any], value: dict[str, Any], where: str) -> None:
    properties = schema["properties"]
    missing = set(schema.get("required", [])) - set(value)
    assert not missing, f"{where}: {missing} are missing"
    unknown = set(value) - set(properties)
    assert schema.get("additionalProperties") or not unknown, f"{where}: {unknown} are not documented"
    for name in set(value) & set(properties):
        check_shape(document, properties[name], value[name], f"{where}.{name}")


def _fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    try:
        check_shape(document, schema, value)
    except AssertionError:
        return False
    return True
