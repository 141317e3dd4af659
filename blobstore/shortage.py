"""What this process may lack for a moment: memory and descriptors."""

from __future__ import annotations

import errno

_LACKS = {
    errno.EMFILE: "this process has no file descriptor left",
    errno.ENFILE: "the system has no file descriptor left",
    errno.ENOMEM: "no memory is left",
}


def is_shortage(error: BaseException) -> bool:
    """Whether a request failed only because of all the others: a retry is worth while."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _LACKS)


def lack(error: OSError) -> str | None:
    """What there is too little of, for people; None for an error that is no shortage."""
    return _LACKS.get(error.errno or 0)
