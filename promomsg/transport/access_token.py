"""An account's access token: fetched once for everybody, renewed only when the current one is bad.

(The tokens of single wallet users are `channels.alipay_tokens`.)
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from promomsg.clock import Clock
from promomsg.errors import Halted, JournalError, NotSent, UsageError
from promomsg.log_events import log_event
from promomsg.model import Secret
from promomsg.pasted_secret import pasted_secret
from promomsg.telemetry.in_force import in_force
from promomsg.transport.token_store import TokenStore

__all__ = ["TOKEN_REFUSED", "AccessTokenCache", "FetchedToken", "refused_again"]

log = logging.getLogger("promomsg.transport")

_REMEMBERED = 32
"""Tokens kept for masking and for recognising one that failed before. A token lives for hours
(docs/facts/wechat.md, "Access token": 7200 s), so these are far more than any call in flight can
still carry."""


class FetchedToken(NamedTuple):
    """A token as it was fetched.

    Attributes:
        token: the token itself.
        expires_in: its life in seconds; None when unknown: it is kept until it fails.
    """

    token: str
    expires_in: float | None = None

    def __repr__(self) -> str:
        return f"FetchedToken(token=…, expires_in={self.expires_in!r})"


Fetch = Callable[[str | None], Awaitable["FetchedToken | str"]]
"""Asks the provider for a token, given the one that is known to be bad, or None."""
TOKEN_REFUSED = "TOKEN_REFUSED"  # noqa: S105 - a code
"""The code of a halt: the token was refused, and there is no newer one."""


class AccessTokenCache:
    """One account's access token, shared by every task that calls with it.

    Args:
        fetch: async, given the token known to be bad (or None), returns a `FetchedToken`, or a plain
            str from a user's own token server (kept until it fails).
        clock: where the time comes from.
        margin: seconds before its end from which a token is not used any more; at most a tenth
            of the token's life, since a fixed one could leave a short token no life at all.
    """

    def __init__(
        self,
        fetch: Fetch,
        clock: Clock,
        *,
        margin: float = 300.0,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._margin = margin
        self._token: str | None = None
        self._until: float | None = None
        self._stale: str | None = None
        self._failed: deque[str] = deque(maxlen=_REMEMBERED)
        self._known: deque[str] = deque(maxlen=_REMEMBERED)
        self._fetching: asyncio.Task[Secret] | None = None
        self._waiting = 0
        self._store: TokenStore | None = None
        self._generation = 0
        """Of the last token that came from the store, or went there."""

    def share(self, store: TokenStore) -> None:
        """From now on the token is looked for in a store that other processes have too, and one that
        is fetched here is put there. While the store fails, tokens are fetched as without one."""
        self._store = store

    def __repr__(self) -> str:
        return f"AccessTokenCache(cached={getattr(self, '_token', None) is not None})"

    def current(self) -> str | None:
        """The cached token, or None when there is none that is not known to be stale."""
        until = self._until
        if until is not None and self._clock.monotonic() >= until:
            return None
        return self._token

    async def get(self, fetch: Fetch | None = None) -> str:
        """A token that is not known to be stale; one fetch serves all who wait for it.

        Args:
            fetch: makes that call in place of the cache's own, should it be this caller's to make:
                clients of one account may have different ways to the provider.

        Raises:
            Halted: the provider gave back a token that it had already refused.
            NotSent: the program is shutting down.
            UsageError: the callable returned no token.
            Exception: whatever the fetch raised, to all who waited; the next call tries afresh.
        """
        token = self.current()
        if token is not None:
            return token
        task = self._fetching
        if task is None:
            # A task of its own, since the caller who happens to be first may be cancelled while
            # others wait. It never outlives the last of them.
            task = self._fetching = asyncio.create_task(self._renew(fetch or self._fetch))
            task.add_done_callback(self._fetch_done)
        self._waiting += 1
        try:
            await asyncio.wait((task,))
        finally:
            self._waiting -= 1
            if not self._waiting and not task.done():
                self._fetching = None
                task.cancel()
        if task.cancelled():  # by a shutdown; a CancelledError here would claim it was ours
            raise NotSent("the access token could not be fetched: the fetch was cancelled")
        return task.result().reveal()

    def mark_failed(self, token: str) -> None:
        """A *send* was refused with this token: it is never used again."""
        if token not in self._failed:
            self._failed.append(token)
        self.mark_stale(token)

    def mark_stale(self, token: str) -> None:
        """A *read* was refused with this token: a new one is asked for, if it is the current one.

        When the provider hands the same one out again, that refusal may have been a hiccup. The
        token is used on, since a read does no harm twice, and a send that is refused with it has
        sent nothing and marks it failed.
        """
        if token == self._token:
            self._token = None
            self._stale = token

    def known_tokens(self) -> Iterable[str]:
        """The latest tokens seen, for masking texts."""
        return tuple(self._known)

    def _fetch_done(self, task: asyncio.Task[Secret]) -> None:
        if self._fetching is task:
            self._fetching = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody else should hear of it

    async def _renew(self, fetch: Fetch) -> Secret:
        # A Secret, since asyncio's debug log prints the result of a task.
        token, good_for = await self._shared(fetch) or await self._fetched(fetch)
        log_event(log, "token.refreshed", "the access token was refreshed", expires_in=good_for)
        if (observers := in_force()) is not None:
            observers.token_refreshed(good_for)
        if self._fetching is asyncio.current_task():  # an abandoned fetch never overwrites a newer
            self._token = token.reveal()
            self._stale = None
            self._until = None if good_for is None else self._clock.monotonic() + good_for
        return token

    async def _fetched(self, fetch: Fetch) -> tuple[Secret, float | None]:
        """A new token of the provider's, and for how many seconds it is to be used."""
        stale = self._stale
        fetched = await self._ask(fetch, stale)
        if fetched.token in self._failed and fetched.token != stale:
            # It was refused while it was being fetched, so the fetch could not know.
            stale = fetched.token
            fetched = await self._ask(fetch, stale)
        token, life = fetched
        if token in self._failed:
            raise refused_again()
        if life is None:
            return Secret(token), None
        return Secret(token), max(life - min(self._margin, life * 0.1), 0.0)

    async def _shared(self, fetch: Fetch) -> tuple[Secret, float | None] | None:
        """The token that all processes use, fetched by one of them; None: there is no store, or it
        cannot be used now."""
        store = self._store
        if store is None:
            return None
        try:
            while True:
                generation, token, good_for = await store.read()
                if token is not None and self._is_news(generation, token):
                    self._generation = generation
                    if token.reveal() not in self._known:
                        self._known.append(token.reveal())
                    return token, good_for
                if await store.lease(generation):
                    break
                await self._clock.sleep(store.pause)
        except JournalError as error:
            log.warning("the access token is not shared with other processes: %s", error)
            return None
        return await self._fetch_for_all(fetch, store, generation)

    def _is_news(self, generation: int, token: Secret) -> bool:
        """Whether a shared token may be used: not one that was refused here. A refusal of a read may
        have been a hiccup, so that the same token is good again once somebody has fetched it anew."""
        text = token.reveal()
        return text not in self._failed and (text != self._stale or generation > self._generation)

    async def _fetch_for_all(
        self, fetch: Fetch, store: TokenStore, generation: int
    ) -> tuple[Secret, float | None]:
        """Fetches a token under a lease of the store, and puts it there."""
        try:
            token, good_for = await self._fetched(fetch)
        except BaseException:
            with suppress(JournalError):
                await store.give_back()
            raise
        self._generation = generation + 1
        try:
            await store.put(generation, token, good_for)
        except JournalError as error:
            log.warning("the access token is not shared with other processes: %s", error)
        return token, good_for

    async def _ask(self, fetch: Fetch, stale: str | None) -> FetchedToken:
        pending = fetch(stale)
        if not inspect.isawaitable(pending):
            raise UsageError("token=…: give an async callable, (stale) -> str")
        fetched = _to_fetched(await pending)
        if not isinstance(fetched.token, str) or not fetched.token:
            what = type(fetched.token).__name__ if fetched.token else "nothing"
            raise UsageError(f"token=…: the callable returned {what}; it must return the token")
        token = pasted_secret("token=…: what the callable returned", Secret(fetched.token))
        fetched = FetchedToken(token.reveal(), fetched.expires_in)
        if fetched.token not in self._known:
            self._known.append(fetched.token)
        return fetched


def refused_again(status: int | None = None, rid: str | None = None) -> Halted:
    """The halt when a token was refused and the provider gives the same one back.

    Args:
        status, rid: of the refusal, where it is at hand.
    """
    return Halted(
        TOKEN_REFUSED,
        "the provider refused the access token, and asking for a new one gave the same one "
        "back: check the appid and secret, and that only one program refreshes this "
        "account's token, then resume",
        status=status,
        rid=rid,
    )


def _to_fetched(got: FetchedToken | str) -> FetchedToken:
    """Out of sight at once: what is raised next is shown with the variables of its frame."""
    return got if isinstance(got, FetchedToken) else FetchedToken(got, None)
