"""Back-off: how long to wait before the next try, by the failures in a row."""

from __future__ import annotations

from promomsg.engine.settings import RetryPolicy

__all__ = ["backoff"]


def backoff(failures: int, policy: RetryPolicy, jitter: float) -> float:
    """Seconds to wait after `failures` failures in a row.

    Args:
        jitter: a random number in [0, 1); the pause is spread over its upper half, and the
            longest pause holds before the spread, so that many waiters do not meet at it.
    """
    full = min(policy.first_pause * 2.0 ** min(failures - 1, 30), policy.longest_pause)
    return full * (0.5 + jitter / 2)
