"""The audit log: /api/v1/admin/events for admins, /api/v1/me/activity for each of his own account."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Blueprint, Response, jsonify, request

from blobstore.api import auth, options
from blobstore.api.context import store
from blobstore.api.schemas.admin import activity_json, event_json
from blobstore.core import events
from blobstore.core.events import Action, Filters, StoredEvent
from blobstore.core.gate import Caller, Scope, require_password
from blobstore.errors import BadOption

bp = Blueprint("events", __name__)

LINES = ("application/jsonl", "application/x-ndjson")
FILTERS = ("user", "action", "after", "before")


@bp.get("/api/v1/admin/events")
def page() -> Response:
    """The newest events first, a page at a time; or all of them, the oldest first, a line of JSON each."""
    caller = auth.somebody(Scope.ADMIN)
    values = options.query("limit", "cursor", "format", *FILTERS)
    lines = _lines(values)
    response = _export(caller, _filters(values), lines) if lines else _page(values)
    response.vary.add("Accept")
    return response


@bp.get("/api/v1/me/activity")
def activity() -> Response:
    """What concerns the caller's account, the newest first."""
    caller = require_password(auth.somebody(Scope.READ))
    values = options.query("limit", "cursor")
    found = events.activity(store(), caller, limit=options.limit(values), cursor=values.get("cursor"))
    return jsonify({"items": [activity_json(each, caller.name) for each in found.items], "next": found.next})


def _page(values: dict[str, str]) -> Response:
    limit, cursor = options.limit(values), values.get("cursor")
    found = events.page(store(), _filters(values), limit=limit, cursor=cursor)
    return jsonify({"items": [event_json(each) for each in found.items], "next": found.next})


def _export(caller: Caller, filters: Filters, kind: str) -> Response:
    found = events.export(store(), filters, caller.actor)
    return Response(_written(found), content_type=kind)


def _written(found: Iterator[StoredEvent]) -> Iterator[str]:
    for each in found:
        yield json.dumps(event_json(each), ensure_ascii=False) + "\n"


def _lines(values: dict[str, str]) -> str | None:
    """The media type of lines of JSON when they are asked for, None for a page."""
    wanted = values.get("format")
    if wanted not in (None, "json", "jsonl"):
        raise BadOption("format", "is json or jsonl")
    if wanted is not None:
        return LINES[0] if wanted == "jsonl" else None
    best = request.accept_mimetypes.best_match(["application/json", *LINES])
    return best if best in LINES else None


def _filters(values: dict[str, str]) -> Filters:
    return Filters(
        user=values["user"].lower() if "user" in values else None,
        action=_action(values["action"]) if "action" in values else None,
        after=options.moment("after", values["after"]) if "after" in values else None,
        before=options.moment("before", values["before"]) if "before" in values else None,
    )


def _action(name: str) -> Action:
    try:
        return Action(name)
    except ValueError as error:
        raise BadOption("action", "is one of " + ", ".join(Action)) from error
