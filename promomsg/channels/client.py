"""What every channel's client is beside its endpoints: a pool, an account on it, a pace."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Self

from msgspec import UNSET, UnsetType

from promomsg.channels.base import UserFacing
from promomsg.clock import Clock
from promomsg.transport.connections import Connections
from promomsg.transport.fair_semaphore import SemaphoreShare
from promomsg.transport.pace import Pace, Pacer
from promomsg.transport.session import HttpSession

__all__ = ["Client"]


class Client(UserFacing):
    """A client of one account. Those derived from it share its pool, and close nothing."""

    name: ClassVar[str]

    _http: HttpSession
    _account: Any
    _clock: Clock
    _single_calls: SemaphoreShare
    _pacer: Pacer
    _owns_pool = True

    def _derive(
        self,
        account: Any,
        http: HttpSession,
        *,
        pace: Pace | UnsetType | None = UNSET,
    ) -> Self:
        """Another client on the same pool; closing it leaves the pool open.

        Args:
            account: whose calls it makes: this client's own over `http`, or another one's.
            http: a session of this client's pool.
            pace: UNSET: this client's own limiters, with what they have counted.
        """
        other = copy(self)
        other._owns_pool = False
        other._account = account
        other._http = http
        if pace is not UNSET:
            other._pacer = other._new_pacer(pace)
        return other

    def _new_pacer(self, pace: Pace | None) -> Pacer:
        return Pacer(pace, self._clock, account=(self.name, self._http.base_url, self.account))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections, of derived clients too; a derived client's close does nothing."""
        if self._owns_pool:
            await self._http.close()

    # The engine's interface.

    @property
    def account(self) -> str:
        raise NotImplementedError

    @property
    def loopback(self) -> bool:
        return self._http.loopback

    @property
    def base_url(self) -> str:
        return self._http.base_url

    @property
    def pacer(self) -> Pacer:
        return self._pacer

    @property
    def connections(self) -> Connections:
        return self._http.connections

    def expect(self, concurrency: int) -> None:
        self._http.expect(concurrency)

    async def connect_ahead(self, calls: int) -> int:
        return await self._http.connect_ahead(calls)
