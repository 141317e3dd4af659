"""How far something long has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int], None]
"""Called with the bytes or items just dealt with; the command line shows it."""


def silent(_: int) -> None:
    """No progress to show."""
