"""What holds for every request: its id, the host it names, where it comes from; and the converters of the URL map."""

from __future__ import annotations

import re
import secrets
from urllib.parse import unquote_to_bytes, urlsplit

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, ValidationError

from blobstore.digest import Digest
from blobstore.errors import BadEncoding, BadHost, CrossSite, NotFound
from blobstore.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SANE_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class DigestConverter(BaseConverter):
    """64 hex digits of any case -> Digest."""

    regex = "[0-9A-Fa-f]{64}"

    def to_python(self, value: str) -> Digest:
        if not value.isascii() or len(value) != 64:
            raise ValidationError
        return Digest.parse(value)


class ExtensionConverter(BaseConverter):
    """What may follow the hash in a link, after a dot."""

    regex = "[A-Za-z0-9]{1,10}"


class RestConverter(BaseConverter):
    """All that is left of the path, also when it starts with a slash, which Werkzeug's `path` does not take."""

    part_isolating = False
    regex = "(?s:.+)"
    weight = 200


def register(app: Flask, settings: Settings) -> None:
    """Add the converters, the proxy's headers if there is a trusted one, and what runs around every request."""
    app.url_map.merge_slashes = False
    app.url_map.converters.update(digest=DigestConverter, ext=ExtensionConverter, rest=RestConverter)
    if settings.trusted_proxy_hops:
        hops = settings.trusted_proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    hosts = _known_hosts(settings)

    @app.before_request
    def _before() -> None:
        given = request.headers.get("X-Request-ID", "")
        request.environ["blobstore.request_id"] = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        _check_host(hosts)
        _check_path()
        if request.method not in SAFE_METHODS:
            _check_site()

    @app.after_request
    def _after(response: Response) -> Response:
        response.headers["X-Request-ID"] = request.environ.get("blobstore.request_id", "")
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        if settings.base_url and settings.base_url.startswith("https://"):
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response


def _known_hosts(settings: Settings) -> frozenset[str] | None:
    if settings.base_url is None:
        return None
    allowed = (name.lower() for name in settings.allowed_hosts)
    return frozenset({urlsplit(settings.base_url).hostname or "", *LOOPBACK, *allowed})


def _check_host(known: frozenset[str] | None) -> None:
    host = request.environ.get("HTTP_HOST", "")
    match = _HOST.fullmatch(host)
    if match is None or (known is not None and match[1].strip("[]").lower() not in known):
        raise BadHost("this service does not go by that Host")


def _check_path() -> None:
    """Werkzeug puts U+FFFD where the URL is not UTF-8, so that two names would become one, and takes //x for /x."""
    path: str = request.environ.get("PATH_INFO", "")
    if path.startswith("//"):
        raise NotFound("there is nothing at this path: slashes are not merged")
    try:
        path.encode("latin-1").decode()
        unquote_to_bytes(request.query_string).decode()
    except UnicodeError as error:
        raise BadEncoding("the URL is not UTF-8") from error


def _check_site() -> None:
    """Basic is sent by a browser on its own, like a cookie: other sites may not use it. curl sends neither header."""
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise CrossSite("this request comes from another site")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin.lower()):
        raise CrossSite("this request comes from another origin")


def _is_own(origin: str) -> bool:
    """Whether the origin is the host of this request; TLS may end at a proxy, so the scheme is not compared."""
    scheme, _, authority = origin.partition("://")
    port = {"http": ":80", "https": ":443"}.get(scheme)
    host: str = request.environ["HTTP_HOST"]
    return port is not None and authority.removesuffix(port) == host.lower().removesuffix(port)
