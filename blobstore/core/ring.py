"""The ring of secrets: SECRET_KEY may be several; the first signs, all verify, and each purpose has keys of its own."""

from __future__ import annotations

import hmac

from blobstore.core.store import Store


def ring(store: Store, purpose: bytes) -> list[bytes]:
    """The 32-byte keys for one purpose, the signing one first (HKDF of RFC 5869: one block, no salt).

    Raises SettingsError without a SECRET_KEY.
    """
    return [_derive(secret, purpose) for secret in store.settings.require_secret_key().split(",")]


def _derive(secret: str, purpose: bytes) -> bytes:
    extracted = hmac.digest(bytes(32), secret.encode(), "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")
