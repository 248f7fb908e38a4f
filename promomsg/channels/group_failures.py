"""A group's failure file: fetched, kept raw without secrets, and read."""

from __future__ import annotations

from typing import Final

import anyio.to_thread

from promomsg.channels.base import FailureFile
from promomsg.errors import PromoError, TransportError, UsageError
from promomsg.masking import Mask
from promomsg.transport.failure_download import MAX_FAILURE_FILE, fetch_failure_file
from promomsg.transport.session import HttpSession
from promomsg.wechat.failure_file import parse_failures

__all__ = ["fetch_failures"]

_LEAST_LIMIT: Final = 1024 * 1024
_BYTES_A_MEMBER: Final = 512
"""Bytes that a failure file may have, and more for each member of its group: the longest known form
of a record is under 200."""


async def fetch_failures(http: HttpSession, url: str, members: int, mask: Mask) -> FailureFile:
    """The failure file of a group of so many members, which bounds its size.

    Raises:
        TransportError: it cannot be had.
        UsageError: the URL is refused, see `fetch_failure_file`.
    """
    failure: PromoError
    limit = min(_LEAST_LIMIT + _BYTES_A_MEMBER * members, MAX_FAILURE_FILE)
    try:
        raw = await fetch_failure_file(http, url, limit=limit)
    except (TransportError, UsageError) as error:
        # Its host is the provider's word, and could be anything.
        if isinstance(error, TransportError):
            failure = TransportError(mask(str(error)), status=error.status, rid=error.rid)
        else:
            failure = UsageError(mask(str(error)))
    else:
        # In a thread: the calls in flight have their answers read meanwhile.
        return await anyio.to_thread.run_sync(_read_failure_file, raw, mask)
    raise failure


def _read_failure_file(raw: bytes, mask: Mask) -> FailureFile:
    """What is kept of a failure file, and what it says; a secret that it says back is in neither."""
    text = raw.decode("latin-1")  # any bytes, and back again as they were
    masked = mask(text)
    if masked != text:
        raw = masked.replace("…", "...").encode("latin-1")
    failures, warning = parse_failures(raw)
    return FailureFile(raw, tuple(failures), warning)
