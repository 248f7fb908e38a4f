"""What stops a campaign before it burns its list: the retry budget and the error window."""

from __future__ import annotations

from collections import deque
from typing import Final

from promomsg.engine.sending.decision import Halt
from promomsg.engine.settings import RetryPolicy

__all__ = ["ErrorRateLimit", "RetryBudget"]


class RetryBudget:
    """The retries that all recipients of a campaign share, so that an outage is no storm.

    (After botocore's retry quota.) At most `share` of the calls made plus `floor` may be retries.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.calls = 0
        self.retries = 0

    @property
    def left(self) -> bool:
        """Whether one more retry may be made."""
        return self.retries < self.calls * self._policy.retry_share + self._policy.retry_allowance


class ErrorRateLimit:
    """The share of outcomes that are not `sent` among the last ones.

    Args:
        limit: the share over which to halt; None: never.
        size: how many outcomes back it looks; default 200.
        least: outcomes needed before it says anything; default 20.
    """

    SIZE: Final = 200
    LEAST: Final = 20

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._last: deque[bool] = deque(maxlen=self.SIZE)
        self._bad = 0

    def add(self, good: bool) -> Halt | None:
        """Counts one outcome; the halt when the share is over the limit."""
        if self._limit is None:
            return None
        if len(self._last) == self.SIZE and not self._last[0]:
            self._bad -= 1
        self._last.append(good)
        self._bad += not good
        count = len(self._last)
        if count < self.LEAST or self._bad <= self._limit * count:
            return None
        return Halt(
            "MAX_ERROR_RATE",
            f"{self._bad} of the last {count} outcomes are failed or unknown, over "
            f"max_error_rate = {self._limit:g}; look at the report, then resume or cancel",
        )
