"""The reason phrases of statuses as RFC 9110, section 15, has them, whatever the version of Python has."""

from __future__ import annotations

from http import HTTPStatus

_NEWER = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Until 3.13 the library has those of the RFCs before."""


def phrase(status: int) -> str:
    """The words of a status, which a problem document has as its title. Raises ValueError for one that is none."""
    return _NEWER.get(status) or HTTPStatus(status).phrase
