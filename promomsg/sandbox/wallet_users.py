"""Wallet users and their tokens: applyToken (docs/facts/alipay.md, "Access token of a user")."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from promomsg.sandbox.movable_clock import SandboxClock
from promomsg.sandbox.sandbox_settings import SandboxSettings, SandboxUser

__all__ = ["AlipayRefusedError", "WalletUsers", "iso"]


class AlipayRefusedError(Exception):
    """The wallet refuses a call: `args` are the resultCode and its text."""


class _Grant(msgspec.Struct):
    customer: str
    expires_at: float
    used: bool = False


def iso(at: float) -> str:
    """ISO 8601 with an offset, `2019-04-04T12:08:56.253+00:00`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


class WalletUsers:
    """Who an access token belongs to, and which refresh tokens are used up.

    Any access, refresh and authorisation code is taken unless the settings name users; a refresh
    token and a code work once.
    """

    def __init__(self, settings: Callable[[], SandboxSettings], clock: SandboxClock) -> None:
        self._settings = settings
        self._clock = clock
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._used_codes: set[str] = set()
        self._named: tuple[SandboxUser, ...] = ()

    def customer_of(self, access_token: str) -> str:
        """The customerId behind an access token.

        Raises:
            AlipayRefusedError: EXPIRED_ACCESS_TOKEN, or INVALID_ACCESS_TOKEN with `only_users`.
        """
        self._add_users_of_settings()
        grant = self._access.get(access_token)
        if grant is None:
            if self._settings().only_users:
                raise AlipayRefusedError("INVALID_ACCESS_TOKEN", "The access token is invalid.")
            return _customer_id_of(access_token)
        if self._clock.time() >= grant.expires_at:
            raise AlipayRefusedError("EXPIRED_ACCESS_TOKEN", "The access token is expired.")
        return grant.customer

    def expire(self, access_token: str) -> None:
        """This access token's life is over from now on."""
        self._add_users_of_settings()
        grant = self._access.setdefault(access_token, _Grant(_customer_id_of(access_token), 0.0))
        grant.expires_at = 0.0

    def by_code(self, code: str) -> dict[str, Any]:
        """Tokens for an authorisation code.

        Raises:
            AlipayRefusedError: USED_CODE, or INVALID_CODE when the settings do not list it.
        """
        if code in self._used_codes:
            raise AlipayRefusedError("USED_CODE", "The authorization code has been used.")
        codes = self._settings().auth_codes
        if codes is not None and code not in codes:
            raise AlipayRefusedError("INVALID_CODE", "The authorization code is invalid.")
        self._used_codes.add(code)
        return self._grant(_customer_id_of(code) if codes is None else codes[code])

    def by_refresh_token(self, token: str) -> dict[str, Any]:
        """New tokens for a refresh token, which is used up by it.

        Raises:
            AlipayRefusedError: USED_, EXPIRED_ or INVALID_REFRESH_TOKEN.
        """
        self._add_users_of_settings()
        grant = self._refresh.get(token)
        if grant is None:
            if self._settings().only_users:
                raise AlipayRefusedError("INVALID_REFRESH_TOKEN", "The refresh token is invalid.")
            grant = self._refresh[token] = _Grant(_customer_id_of(token), float("inf"))
        if grant.used:
            raise AlipayRefusedError("USED_REFRESH_TOKEN", "The refresh token has been used.")
        if self._clock.time() >= grant.expires_at:
            raise AlipayRefusedError("EXPIRED_REFRESH_TOKEN", "The refresh token is expired.")
        grant.used = True
        return self._grant(grant.customer)

    def _add_users_of_settings(self) -> None:
        users = tuple(self._settings().users)
        if users == self._named:
            return
        self._named = users
        for user in users:
            customer = user.customer_id or _customer_id_of(user.access_token)
            life = 0.0 if user.expired else float("inf")
            self._access.setdefault(user.access_token, _Grant(customer, life))
            if user.refresh_token is not None:
                self._refresh.setdefault(user.refresh_token, _Grant(customer, float("inf")))

    def _grant(self, customer: str) -> dict[str, Any]:
        now, settings = self._clock.time(), self._settings()
        access, refresh = "AT" + secrets.token_urlsafe(48), "RT" + secrets.token_urlsafe(48)
        access_ends = now + settings.user_token_life
        refresh_ends = now + settings.refresh_token_life
        self._access[access] = _Grant(customer, access_ends)
        self._refresh[refresh] = _Grant(customer, refresh_ends)
        return {
            "accessToken": access,
            "accessTokenExpiryTime": iso(access_ends),
            "refreshToken": refresh,
            "refreshTokenExpiryTime": iso(refresh_ends),
            "customerId": customer,
        }


def _customer_id_of(name: str) -> str:
    return "CU" + hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
