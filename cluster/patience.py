"""Storage that cannot be reached for a while is tried again; storage that says no for good is not."""

import errno
import logging
import time
from collections.abc import Callable
from typing import TypeVar

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of errors that say that there is no room."""
FINAL = FULL | {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip
"""Numbers of errors that trying again does not mend."""
READ_SECONDS = 120.0
"""How long storage that does not answer is tried again where all wait for it."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0

FINAL_WORDS = (
    "ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "SIGNATURE_DOES_NOT_MATCH",
)  # fmt: skip
"""What an object store says in place of such a number."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


def patiently(function: Callable[[], T], seconds: float, what: str) -> T:
    """Call a function until it gets through to the storage, at growing intervals.

    Args:
        function: raises OSError where it does not; it must be harmless to call it again.
        seconds: how long to go on trying.
        what: what is tried, for the warning.
    """
    deadline, delay = time.monotonic() + seconds, FIRST_DELAY
    while True:
        try:
            return function()
        except OSError as error:
            if is_final(error) or time.monotonic() + delay > deadline:
                raise
            logger.warning("%s: %s; trying again in %g s", what, error, delay)
        time.sleep(delay)
        delay = min(2 * delay, LONGEST_DELAY)


def is_final(error: OSError) -> bool:
    """Return whether trying again does not mend an error of the storage."""
    return error.errno in FINAL or any(word in str(error) for word in FINAL_WORDS)


def is_full(error: OSError) -> bool:
    """Return whether an error says that a disk, a quota or a file-size limit is exhausted."""
    return error.errno in FULL
