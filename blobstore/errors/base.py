"""What every error of the domain has."""

from __future__ import annotations

from typing import ClassVar


class BlobstoreError(Exception):
    """An answer of the domain: `code` is stable for clients, `detail` is for people."""

    code: ClassVar[str] = "error"
    members: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that belong in the answer."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def notes(self) -> tuple[str, ...]:
        """What only operators may know of it, as `add_note` has kept it: paths, and what the system said."""
        return tuple(getattr(self, "__notes__", ()))

    @property
    def explained(self) -> str:
        """The detail and the notes, for the log."""
        return "; ".join([self.detail, *self.notes])
