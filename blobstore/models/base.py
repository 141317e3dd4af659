"""What every table has in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

Ordered = Text(collation="C")
"""Text compared byte by byte: digests are locked in ascending order, and ids are paged through."""


class Base(DeclarativeBase):
    """Every time is with its zone, every `str` is text, every `int` has 64 bits."""

    type_annotation_map: ClassVar[dict[type, TypeEngine[Any]]] = {
        str: Text(),
        int: BigInteger(),
        datetime: DateTime(timezone=True),
        list[str]: ARRAY(Text()),
        dict[str, Any]: JSONB(),
    }
