"""Swagger UI at /docs, the document at /openapi.json."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Add the pages."""
