"""What a store of an account's shared quota promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from promomsg.transport.quota.quota_state import QuotaState

__all__ = ["QuotaStore", "QuotaStoreAway", "QuotaStoreError"]

T = TypeVar("T")


class QuotaStoreError(Exception):
    """The store cannot be used; the text says where it is and why."""


class QuotaStoreAway(QuotaStoreError):
    """It cannot be reached now. Nobody knows whether the row was changed."""


class QuotaStore(Protocol):
    """The rows of one account, which all its senders read and write."""

    @property
    def key(self) -> str:
        """Which rows these are: stores with the same key have the same."""
        ...

    @property
    def where(self) -> str:
        """Where they are, for people."""
        ...

    @property
    def is_needed(self) -> bool:
        """Whether nobody may send who cannot ask it: a sender waits while it is away, and stops when it
        cannot be used. Else the sender has the quota for itself then."""
        ...

    @property
    def spread(self) -> float:
        """Seconds by which a time given by the store may be taken for a later one; 0 where it is one
        clock."""
        ...

    def submit(self, kind: str, step: Callable[[QuotaState, float], T]) -> asyncio.Future[T]:
        """Changes one row in one transaction, without holding the event loop up. Whoever is cancelled
        while they wait has changed it all the same.

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

    def to_local_by(self, at: float) -> float:
        """The same; never too late."""
        ...

    def to_stored(self, at: float) -> float:
        """The other way round; never too early. 0 while the store's clock is not known."""
        ...

    def keep_open(self) -> None:
        """Somebody is going to ask often: what is opened stays open until `close`."""
        ...

    async def close(self) -> None:
        """Lets go of what it has open. Who asks after that has it opened for this one time."""
        ...
