"""What the shapes of every resource have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blobstore.errors import BadOption, UnknownField

Seconds = Annotated[int, Field(gt=0, le=10**10)]


class Shape(BaseModel):
    """A JSON object that a client sends: exact types, nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @classmethod
    def read(cls, given: dict[str, Any]) -> Self:
        """Check an object. Raises UnknownField, BadOption with the field's name."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            mistake = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in mistake["loc"]) or "body"
            if mistake["type"] == "extra_forbidden":
                raise UnknownField(field) from error
            raise BadOption(field, mistake["msg"]) from error


def moment(when: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the second."""
    return None if when is None else when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
