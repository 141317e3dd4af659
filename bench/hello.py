"""Bare Flask: the least that any route of ours can cost."""

from __future__ import annotations

from flask import Flask

_app = Flask("hello")


@_app.get("/")
def hello() -> str:
    return "Hello, World!"


application = _app.wsgi_app
"""Not the Flask object: the worker would start blobstore's background work for one."""
