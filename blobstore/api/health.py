"""Operations: GET /health (this worker answers), GET /health/ready (it can work)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from blobstore import __version__
from blobstore.api import auth
from blobstore.api.context import parts
from blobstore.api.schemas.health import ready_json
from blobstore.core.health import Status
from blobstore.errors import Unavailable

bp = Blueprint("health", __name__)


@bp.get("/health")
def health() -> Response:
    """This worker answers; nothing else is asked."""
    return jsonify({"status": "ok", "version": __version__})


@bp.get("/health/ready")
def ready() -> Response:
    """200 when it can work, perhaps but for uploads, else 503; with what is wrong, and to operators with numbers."""
    readiness = parts().readiness
    problems = readiness.problems()
    response = jsonify(ready_json(problems, readiness.details() if auth.is_operator() else None))
    if Status.of(problems) == Status.UNREADY:
        response.status_code = 503
        response.headers["Retry-After"] = str(Unavailable.retry_after_seconds)
    return response
