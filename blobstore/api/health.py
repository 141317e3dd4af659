"""Operations: GET /health (this worker answers), GET /health/ready (it can work)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from blobstore import __version__
from blobstore.api.context import store
from blobstore.core.health import readiness

bp = Blueprint("health", __name__)


@bp.get("/health")
def health() -> Response:
    """This worker answers; nothing else is asked."""
    return jsonify({"status": "ok", "version": __version__})


@bp.get("/health/ready")
def ready() -> tuple[Response, int]:
    """200 when uploads and downloads can work, else 503 with what is wrong."""
    problems = readiness(store())
    return jsonify({"status": "unready" if problems else "ready", "problems": problems}), 503 if problems else 200
