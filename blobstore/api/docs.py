"""Swagger UI at /docs and the document at /openapi.json, put together from specs/*.yml when it is first asked for."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from flask import Blueprint, Flask, Response, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as WsgiResponse

from blobstore import __version__
from blobstore.errors import NotFound

SPECS = Path(__file__).parent / "specs"
OURS = Path(__file__).parents[1] / "ui" / "static"
SWAGGER_UI = Path(str(files("flask_swagger_ui"))) / "dist"
ASSETS = {
    "docs.js": OURS,
    "docs.css": OURS,
    "swagger-ui.css": SWAGGER_UI,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "favicon-32x32.png": SWAGGER_UI,
}
"""All that the page loads; nothing else of the two folders is served."""
EVERYWHERE = {"414": {"$ref": "#/components/responses/UriTooLong"}}
"""What every call can answer, before anybody looks at which one it is."""
ASSET_SECONDS = 300
"""Swagger UI changes the page's address at every click, and a browser then asks for the icon again."""
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

bp = Blueprint("docs", __name__)


def register(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(bp)


def document() -> dict[str, Any]:
    """The OpenAPI document, read anew: openapi.yml, what it shares, and the files that it lists as its paths.

    Each of those maps paths to methods to operations; a path may get its methods from several files.
    """
    whole = _load("openapi")
    whole["info"]["version"] = __version__
    paths: dict[str, Any] = {}
    for name in whole["paths"]:
        for path, operations in _load(name).items():
            paths.setdefault(path, {}).update(operations)
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"] |= EVERYWHERE
    shared = {**_load("components"), "schemas": _load("schemas"), "responses": _load("responses")}
    return {**whole, "paths": paths, "components": shared}


@bp.get("/")
def home() -> WsgiResponse:
    """To the documentation, until there are pages."""
    return redirect("/docs", 302)


@bp.get("/docs", strict_slashes=False)
def page() -> Response:
    """Swagger UI, all of it from this host."""
    return Response(render_template("docs.html"), headers=PAGE_HEADERS)


@bp.get("/docs/<name>")
def asset(name: str) -> Response:
    """A script, style or picture of the page."""
    folder = ASSETS.get(name)
    if folder is None:
        raise NotFound("the documentation has no such file")
    response = send_from_directory(folder, name, max_age=ASSET_SECONDS)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@bp.get("/openapi.json")
def openapi() -> WsgiResponse:
    """The document."""
    encoded, etag = _encoded()
    response = Response(encoded, content_type="application/json")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(etag)
    return response.make_conditional(request)


def _load(name: str) -> dict[str, Any]:
    """One file. The loader is libyaml's safe one: the other takes ten times as long."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load((SPECS / f"{name}.yml").read_bytes(), loader)  # noqa: S506
    return found


@cache
def _encoded() -> tuple[bytes, str]:
    """The document as JSON, and its entity tag."""
    encoded = json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return encoded, hashlib.sha256(encoded).hexdigest()[:32]
