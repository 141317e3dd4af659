"""A self-hosted, content-addressed file store over HTTP: a file is its SHA-256, stored once."""

__version__ = "0.1.0"
