"""One access token for all processes that send for an account, in a store that they share."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from promomsg.model import Secret

__all__ = ["SharedToken", "TokenStore"]


class SharedToken(NamedTuple):
    """What the store has of an account.

    Attributes:
        generation: raised by every refresh; 0: there was none yet.
        token: None: there is none that may be used.
        good_for: seconds until it is not to be used any more, by the store's clock; None: until it
            is refused.
    """

    generation: int
    token: Secret | None = None
    good_for: float | None = None


class TokenStore(Protocol):
    """The access token of one account. One process refreshes it at a time, under a lease that runs out
    by itself when the process dies; nothing is locked while it asks the provider.

    Every method raises JournalError when the store cannot do it; it never waits long for that.
    """

    @property
    def pause(self) -> float:
        """Seconds between two looks of those who wait for somebody else's refresh."""
        ...

    async def read(self) -> SharedToken:
        """What there is now."""
        ...

    async def lease(self, generation: int) -> bool:
        """Whether this process is to refresh the token of this generation: nobody has done it, and
        nobody is at it."""
        ...

    async def put(self, generation: int, token: Secret, good_for: float | None) -> None:
        """Keeps a new token in the place of that generation, and gives the lease back. Nothing when
        somebody else has refreshed it meanwhile.

        Args:
            good_for: seconds until it is not to be used any more; None: until it is refused.
        """
        ...

    async def give_back(self) -> None:
        """Gives the lease back: the refresh came to nothing."""
        ...
