"""What holds for every request: its id, the host it names, where it comes from; and the converters of the URL map."""

from __future__ import annotations

import re
import secrets
from urllib.parse import unquote_to_bytes, urlsplit

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, ValidationError

from blobstore.api import allowances
from blobstore.digest import Digest
from blobstore.errors import BadEncoding, BadHost, CrossSite, NotFound
from blobstore.settings import DEFAULT_PORTS, Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SANE_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")
CONTENT = ("download", "descriptions")
EXPOSED = (
    "Content-Disposition, Content-Range, ETag, Location, RateLimit, RateLimit-Policy, Repr-Digest, Retry-After, "
    "X-Request-ID"
)
ADMITTED = "Authorization, Content-Type, If-Match, If-None-Match, Range, Repr-Digest, X-Request-ID, X-SHA-256"
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


class IdConverter(BaseConverter):
    """An id of ours: base62. Nothing else is looked for; PostgreSQL would fail at a NUL."""

    regex = "[A-Za-z0-9]{1,64}"


class UserNameConverter(BaseConverter):
    """What may be a user's name, of any case."""

    regex = "[A-Za-z0-9._-]{1,64}"


class RestConverter(BaseConverter):
    """All that is left of the path, also when it starts with a slash, which Werkzeug's `path` does not take."""

    part_isolating = False
    regex = "(?s:.+)"
    weight = 200


CONVERTERS: dict[str, type[BaseConverter]] = {
    "digest": DigestConverter,
    "ext": ExtensionConverter,
    "id": IdConverter,
    "user": UserNameConverter,
    "rest": RestConverter,
}


def register(app: Flask, settings: Settings) -> None:
    """Add the converters, the proxy's headers if there is a trusted one, and what runs around every request."""
    app.url_map.merge_slashes = False
    app.url_map.converters.update(CONVERTERS)
    if settings.trusted_proxy_hops:
        hops = settings.trusted_proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    hosts = _known_hosts(settings)
    content = _hosts_of(settings.content_origin)

    @app.before_request
    def _before() -> Response | None:
        given = request.headers.get("X-Request-ID", "")
        request.environ["blobstore.request_id"] = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        request.environ["blobstore.route"] = request.url_rule.rule if request.url_rule else "none"
        _check_host(hosts)
        _check_path()
        if request.method not in SAFE_METHODS:
            _check_site(settings.cors_origins)
        _check_origin_of_content(content)
        return _of_the_whole_service() if request.environ.get("RAW_URI") == "*" else None

    @app.after_request
    def _after(response: Response) -> Response:
        response.headers["X-Request-ID"] = request.environ.get("blobstore.request_id", "")
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        if settings.base_url and settings.base_url.startswith("https://"):
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if "Allow" in response.headers:
            response.headers["Allow"] = ", ".join(sorted(response.headers["Allow"].split(", ")))
        _admit_origin(response, settings.cors_origins)
        allowances.tell(response)
        return response


def _of_the_whole_service() -> Response | None:
    """`OPTIONS *` is asked of no resource (RFC 9110, section 9.3.7)."""
    if request.method != "OPTIONS":
        return None
    return Response(headers={"Allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"})


def _hosts_of(origin: str | None) -> frozenset[str]:
    """How a Host may name an origin: the port that its scheme implies may be there."""
    if origin is None:
        return frozenset()
    scheme, _, host = origin.partition("://")
    return frozenset({host, host + DEFAULT_PORTS[scheme]})


def _known_hosts(settings: Settings) -> frozenset[str] | None:
    if settings.base_url is None:
        return None
    allowed = (name.lower() for name in settings.allowed_hosts)
    own = {urlsplit(url or "").hostname or "" for url in (settings.base_url, settings.content_origin)}
    return frozenset({*own, *LOOPBACK, *allowed})


def _check_host(known: frozenset[str] | None) -> None:
    host = request.environ.get("HTTP_HOST", "")
    match = _HOST.fullmatch(host)
    if match is None or (known is not None and match[1].strip("[]").lower() not in known):
        raise BadHost("this service does not go by that Host")
    target: str = request.environ.get("RAW_URI", "/")
    if not target.startswith(("/", "*")) and urlsplit(target).netloc.lower() != host.lower():
        raise BadHost("the target of the request names another host than Host does (RFC 9112, section 3.2.2)")


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


def _check_origin_of_content(hosts: frozenset[str]) -> None:
    """Under the host of contents there is nothing else: a script that got there would find no API of its origin."""
    if request.environ["HTTP_HOST"].lower() in hosts and not _is_of_content():
        raise NotFound("there are only contents under this host")


def _is_of_content() -> bool:
    """Whether a content is asked for, or how it may be: OPTIONS is answered for all methods of a path at once."""
    return request.blueprint in CONTENT or (request.method == "OPTIONS" and "digest" in (request.view_args or {}))


def _admit_origin(response: Response, admitted: tuple[str, ...]) -> None:
    """Let the pages of the listed origins read the answer (Fetch, CORS); no credentials of the browser's own."""
    if admitted:
        response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin in admitted:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        _answer_preflight(response, own=origin in admitted)


def _answer_preflight(response: Response, *, own: bool) -> None:
    """Everything for an origin of ours; for any other only what a public content may be asked."""
    if own:
        response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
        response.headers["Access-Control-Allow-Headers"] = ADMITTED
    elif "digest" in (request.view_args or {}):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD"
        response.headers["Access-Control-Allow-Headers"] = "If-Match, If-None-Match, If-Range, Range, Want-Digest"
    response.headers["Access-Control-Max-Age"] = "600"


def _check_site(admitted: tuple[str, ...]) -> None:
    """Basic is sent by a browser on its own, like a cookie: other sites may not use it. curl sends neither header."""
    if request.headers.get("Origin") in admitted:
        return
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise CrossSite("this request comes from another site")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin.lower()):
        raise CrossSite("this request comes from another origin")


def _is_own(origin: str) -> bool:
    """Whether the origin is the host of this request; TLS may end at a proxy, so the scheme is not compared."""
    scheme, _, authority = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    host: str = request.environ["HTTP_HOST"]
    return port is not None and authority.removesuffix(port) == host.lower().removesuffix(port)
