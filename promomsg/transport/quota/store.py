"""What a store of an account's shared quota promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from promomsg.transport.quota.bunches import QuotaState

__all__ = ["QuotaStore", "QuotaStoreError"]

T = TypeVar("T")


class QuotaStoreError(Exception):
    """The store cannot be used; the text says where it is and why."""


class QuotaStore(Protocol):
    """The rows of one account, which all its senders read and write."""

    def submit(self, kind: str, step: Callable[[QuotaState, float], T]) -> asyncio.Future[T]:
        """Changes one row in one transaction, off the event loop's thread. Whoever is cancelled while
        they wait has changed it all the same.

        Args:
            kind: `singles` or `groups`.
            step: changes the row in place, given the time by the store's clock, and returns what the
                future will have.

        Returns:
            A future that is not done yet; it fails with a QuotaStoreError.
        """
        ...

    def to_local(self, at: float) -> float:
        """A time of the store's clock by this process's monotonic one; never too early."""
        ...

    def to_stored(self, at: float) -> float:
        """The other way round; never too early either."""
        ...
