"""A read that is tried again: polls, lists, quotas. Never a send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from promomsg.clock import Clock
from promomsg.errors import Halted, ProviderError, TransportError

__all__ = ["READ_TRIES", "retry_read"]

READ_TRIES: Final = 5
_LONGEST_WAIT: Final = 60.0
"""Seconds that one read waits in all for a provider that asked to; then it is an error."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0

T = TypeVar("T")


async def retry_read(
    read: Callable[[], Awaitable[T]],
    clock: Clock,
    is_transient: Callable[[Exception], bool],
    *,
    tries: int = READ_TRIES,
) -> T:
    """What `read` returns; tried again while its errors are transient.

    Pauses between tries double from 0.5 s to 10 s. Where the provider asked to wait
    (`retry_after`), no call is made before that; once such waits are over a minute in all, the
    error is raised.

    Args:
        read: makes one call.
        is_transient: whether another try is worth it after this error.
        tries: calls at the most, 1 or more.

    Raises:
        ProviderError, TransportError, Halted: the last try's.
    """
    asked_in_all = 0.0
    for attempt in range(1, tries + 1):
        try:
            return await read()
        except (ProviderError, TransportError, Halted) as error:
            asked = getattr(error, "retry_after", None) or 0.0
            asked_in_all += asked
            if attempt == tries or asked_in_all > _LONGEST_WAIT or not is_transient(error):
                raise
        await clock.sleep(max(min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE), asked))
    raise AssertionError("unreachable")
