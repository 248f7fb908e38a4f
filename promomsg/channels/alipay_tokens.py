"""The access tokens of single users: the latest one, and one refresh at a time for each user.

A refresh token looks single-use (docs/facts/alipay.md, "Access token of a user"), so two refreshes
of one user never overlap, and the new tokens are saved before they are used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import copy

import anyio
import msgspec

from promomsg.alipay.models import UserToken, UserTokens
from promomsg.errors import NotSent, OutcomeUnknown, PromoError, ProviderError
from promomsg.model import Answer, Code, Secret, Verdict
from promomsg.traceback_locals import raised_at

__all__ = ["TOKEN_STORE", "RefreshedTokens", "StoreError"]

TOKEN_STORE = "TOKEN_STORE"  # noqa: S105  # a code, not a secret
"""Code of the HALT when the user's token store fails: nobody's token can be had or kept."""

Apply = Callable[[Secret], Awaitable[UserToken]]


class StoreError(PromoError):
    """The user's `UserTokens` raised; the text has no token in it."""


class RefreshedTokens:
    """The users' tokens in a `UserTokens`, refreshed when the wallet refuses them.

    Args:
        store: the user's.
        apply: refreshes: a refresh token to new tokens; raises as `AlipayMiniProgram.apply_token`.
    """

    def __init__(self, store: UserTokens, apply: Apply) -> None:
        self._store = store
        self._apply = apply
        self._locks: dict[str, tuple[anyio.Lock, list[None]]] = {}
        # The tokens that sends were refused with, until they are renewed.
        self._refused: dict[str, Secret] = {}
        # Users whose refreshed token has not been tried yet: if that fails too, it is final.
        self._untried: set[str] = set()

    def through(self, apply: Apply) -> RefreshedTokens:
        """The same users' tokens, refreshed by another client's calls."""
        other = copy(self)  # what it keeps of the users is the same: locks, refusals, the store
        other._apply = apply
        return other

    async def get(self, key: str) -> UserToken | None:
        """Raises StoreError."""
        try:
            return await self._store.get(key)
        except Exception as error:  # noqa: BLE001  # anybody's code; a send never raises
            raise StoreError(_store_failure("read", key, error)) from None

    async def save(self, key: str, token: UserToken) -> None:
        """Raises StoreError."""
        try:
            await self._store.save(key, token)
        except Exception as error:  # noqa: BLE001  # anybody's code; a send never raises
            raise StoreError(_store_failure("save", key, error)) from None

    @asynccontextmanager
    async def exclusive(self, key: str) -> AsyncIterator[None]:
        """One refresh of a user at a time; once begun, it is not cancelled halfway."""
        lock, users = self._locks.setdefault(key, (anyio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                # Cancelled between the answer and the save, the new refresh token would be lost.
                with anyio.CancelScope(shield=True):
                    yield
        finally:
            users.pop()
            if not users:
                self._locks.pop(key, None)

    async def replace(self, key: str, old: UserToken | None, new: UserToken) -> UserToken:
        """Saves new tokens; what the wallet did not say again is kept. Raises StoreError."""
        if old is not None:
            new = msgspec.structs.replace(
                new,
                refresh_token=new.refresh_token or old.refresh_token,
                refresh_token_expiry=new.refresh_token_expiry
                or (None if new.refresh_token else old.refresh_token_expiry),
                customer_id=new.customer_id or old.customer_id,
            )
        await self.save(key, new)
        return new

    def mark_final(self, key: str) -> None:
        """Forgets a refusal: the wallet took this user's token, or refused it for good."""
        self._refused.pop(key, None)
        self._untried.discard(key)

    def mark_refused(self, key: str, token: Secret, answer: Answer) -> Answer:
        """Notes that the wallet refused this user's token: RETRY, once `renew` was called."""
        self._refused[key] = token
        return msgspec.structs.replace(answer, verdict=Verdict.RETRY, token_failed=True)

    async def renew(self, key: str, given: Secret | None, answer: Answer) -> Answer | None:
        """Has a refused token replaced.

        Args:
            key: the recipient's.
            given: the token that the row brought, perhaps newer than the stored one.
            answer: the refusal.

        Returns:
            None once there is a newer token; else what the recipient comes to without one.

        Raises:
            StoreError: see `get`.
        """
        failed = self._refused.get(key)
        if failed is None:
            return None  # another send of this user was accepted meanwhile
        async with self.exclusive(key):
            stored = await self.get(key)
            if stored is not None and stored.access_token != failed:
                return None  # somebody refreshed it meanwhile
            untried = key in self._untried
            self._untried.discard(key)
            if stored is None or not stored.refresh_token:
                return await self._fall_back(key, stored, failed, given, answer)
            if untried:
                return _final(answer, "the refreshed token was refused too")
            try:
                fresh = await self._apply(stored.refresh_token)
            except NotSent as error:
                verdict = Verdict.HALT if error.permanent else Verdict.RETRY
                detail = f"refreshing the user's token: {error}"
                return Answer(verdict, Code.NOT_SENT, detail, status=error.status)
            except OutcomeUnknown as error:
                # The message itself was refused, so it was not sent; the next try finds out.
                detail = f"refreshing the user's token: {error}"
                return Answer(Verdict.RETRY, Code.NO_ANSWER, detail, status=error.status)
            except ProviderError as error:
                now = await self.get(key)
                if now is not None and now.access_token != failed:
                    return None  # another process spent the refresh token before us
                detail = f"refreshing the user's token: {error}"
                if error.verdict == Verdict.THROTTLED:
                    return Answer(
                        Verdict.THROTTLED,
                        error.code,
                        detail,
                        retry_after=error.retry_after,
                        status=error.status,
                    )
                if error.verdict == Verdict.UNKNOWN:
                    return Answer(Verdict.RETRY, error.code, detail, status=error.status)
                if error.verdict == Verdict.HALT:  # nobody's is refreshed
                    return Answer(Verdict.HALT, error.code, detail, status=error.status)
                if "REFRESH_TOKEN" in error.code:  # used up, expired, invalid: worth no other call
                    stored = msgspec.structs.replace(
                        stored, refresh_token=None, refresh_token_expiry=None
                    )
                return await self._fall_back(key, stored, failed, given, answer, detail)
            await self.replace(key, stored, fresh)
            if fresh.access_token == failed:
                return _final(answer, "the refresh gave the failed token again")
            self._untried.add(key)
            return None

    async def _fall_back(
        self,
        key: str,
        stored: UserToken | None,
        failed: Secret,
        given: Secret | None,
        answer: Answer,
        why: str = "the token store has no refresh token for this user",
    ) -> Answer | None:
        """The row's own token, when it is not the failed one: the user may have authorised anew."""
        if stored is None or given is None or given == failed:
            return _final(answer, why)
        await self.save(
            key, msgspec.structs.replace(stored, access_token=given, access_token_expiry=None)
        )
        return None


def _final(answer: Answer, why: str) -> Answer:
    detail = f"{answer.detail}; {why}" if answer.detail else why
    return msgspec.structs.replace(answer, verdict=Verdict.FAILED, detail=detail)


def _store_failure(what: str, key: str, error: Exception) -> str:
    # A stranger's text may hold the token (SQL parameters do); only our own is known not to.
    text = str(error) if isinstance(error, PromoError) else raised_at(error)
    return f"the token store could not {what} the token of {key!r}: {text}"
