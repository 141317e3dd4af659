"""What this process may lack for a moment: memory and descriptors."""

from __future__ import annotations

import errno

_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_shortage(error: BaseException) -> bool:
    """Whether a request failed only because of all the others: a retry is worth while."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _LACKS)
