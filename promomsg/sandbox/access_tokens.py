"""WeChat access tokens (docs/facts/wechat.md, "Access token") and quotas
(docs/facts/wechat.md, "Quotas")."""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from promomsg.sandbox.calls_and_replies import WeChatRefusedError
from promomsg.sandbox.movable_clock import SandboxClock
from promomsg.sandbox.sandbox_settings import SandboxSettings

__all__ = ["AccessTokens", "Quotas"]

_PREFIX: Final = "SANDBOX_"
_FORCED_A_DAY: Final = 20
_FORCED_APART: Final = 30.0
_CLEARS_A_MONTH: Final = 10


@dataclass(eq=False)
class _Token:
    value: str
    appid: str
    expires_at: float
    invalid_from: float


class AccessTokens:
    """Issues and checks tokens; stable and plain ones are separate, as WeChat's are."""

    def __init__(self, settings: Callable[[], SandboxSettings], clock: SandboxClock) -> None:
        self._settings = settings
        self._clock = clock
        self._by_value: dict[str, _Token] = {}
        self._stable: dict[str, _Token] = {}
        self._plain: dict[str, _Token] = {}
        self._forced: dict[str, deque[float]] = {}

    def authenticate(self, appid: object, secret: object) -> str:
        """The appid, or a WeChatRefusedError: 41002, 41004 missing; 40013, 40125 not accepted."""
        if not appid or not isinstance(appid, str):
            raise WeChatRefusedError(41002, "appid missing")
        if not secret or not isinstance(secret, str):
            raise WeChatRefusedError(41004, "appsecret missing")
        accounts = self._settings().accounts
        if accounts is not None:
            if appid not in accounts:
                raise WeChatRefusedError(40013, "invalid appid")
            if accounts[appid] != secret:
                raise WeChatRefusedError(40125, "invalid appsecret")
        return appid

    def stable_token(self, appid: str, *, force: bool) -> dict[str, Any]:
        """The token that every caller gets, with its remaining life; `force` replaces it at once.

        Forcing 20 times a day (45009) and 30 s apart (45011) is the limit; the codes are the
        sandbox's choice.
        """
        now, settings = self._clock.time(), self._settings()
        current = self._stable.get(appid)
        if force:
            self._count_forced(appid, now)
            if current is not None:
                current.invalid_from = now
        elif current is not None:
            left = min(current.expires_at, current.invalid_from) - now
            # A life shorter than twice the margin would leave no token to hand out again.
            if left > min(settings.token_early, settings.token_life / 2):
                return {"access_token": current.value, "expires_in": int(left) or 1}
            current.invalid_from = min(current.invalid_from, now + settings.token_overlap)
        return self._issue(appid, self._stable, now)

    def plain_token(self, appid: str) -> dict[str, Any]:
        """A new token; the one before it is invalid after the overlap."""
        now = self._clock.time()
        current = self._plain.get(appid)
        if current is not None:
            current.invalid_from = min(current.invalid_from, now + self._settings().token_overlap)
        return self._issue(appid, self._plain, now)

    def check(self, value: str) -> str:
        """The appid whose token this is, or a WeChatRefusedError: 41001, 40014, 40001, 42001."""
        if not value:
            raise WeChatRefusedError(41001, "access_token missing")
        if not self._settings().check_tokens:
            return ""
        token = self._by_value.get(value)
        if token is None:
            if value.startswith(_PREFIX):
                raise WeChatRefusedError(
                    40001, "invalid credential, access_token is invalid or not latest"
                )
            raise WeChatRefusedError(40014, "invalid access_token")
        now = self._clock.time()
        if now >= token.expires_at:
            raise WeChatRefusedError(42001, "access_token expired")
        if now >= token.invalid_from:
            raise WeChatRefusedError(
                40001, "invalid credential, access_token is invalid or not latest"
            )
        return token.appid

    def expire_all(self) -> None:
        """Every token is over at once, as after a leak; the next call gets 42001."""
        now = self._clock.time()
        for token in self._by_value.values():
            token.expires_at = token.invalid_from = min(now, token.expires_at)

    def _issue(self, appid: str, kind: dict[str, _Token], now: float) -> dict[str, Any]:
        life = self._settings().token_life
        token = _Token(_PREFIX + secrets.token_urlsafe(96), appid, now + life, now + life)
        self._by_value[token.value] = kind[appid] = token
        return {"access_token": token.value, "expires_in": int(life) or 1}

    def _count_forced(self, appid: str, now: float) -> None:
        forced = self._forced.setdefault(appid, deque())
        while forced and now - forced[0] >= 86_400:
            forced.popleft()
        if len(forced) >= _FORCED_A_DAY:
            raise WeChatRefusedError(45009, "reach max api daily quota limit")
        if forced and now - forced[-1] < _FORCED_APART:
            raise WeChatRefusedError(45011, "force_refresh: retry after 30 seconds")
        forced.append(now)


class Quotas:
    """Counts the calls of each appid and endpoint against the settings' quotas."""

    def __init__(self, settings: Callable[[], SandboxSettings], clock: SandboxClock) -> None:
        self._settings = settings
        self._clock = clock
        self._used: Counter[tuple[str, str, str]] = Counter()
        self._recent: dict[tuple[str, str], deque[float]] = {}
        self._clears: Counter[tuple[str, str]] = Counter()

    def take(self, appid: str, endpoint: str) -> None:
        """Uses one call, or refuses it: 45009 for the day, 45011 for the window."""
        settings = self._settings()
        daily = settings.daily_quota.get(endpoint)
        rate = self._rate(endpoint)
        if daily is None and rate is None:
            return
        now = self._clock.time()
        day = (appid, endpoint, self._clock.china_day(now))
        if daily is not None and self._used[day] >= daily:
            raise WeChatRefusedError(45009, "reach max api daily quota limit")
        if rate is not None:
            calls, seconds = rate
            recent = self._recent.setdefault((appid, endpoint), deque())
            while recent and now - recent[0] >= seconds:
                recent.popleft()
            if len(recent) >= calls:
                raise WeChatRefusedError(
                    45011, "api minute-quota reach limit, must slower, retry next minute"
                )
            recent.append(now)
        self._used[day] += 1

    def show(self, appid: str, endpoint: str) -> dict[str, Any]:
        """quota/get's answer; what is unlimited is left out (each field is optional)."""
        answer: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
        daily = self._settings().daily_quota.get(endpoint)
        if daily is not None:
            used = self._used[appid, endpoint, self._clock.china_day()]
            answer["quota"] = {"daily_limit": daily, "used": used, "remain": daily - used}
        rate = self._rate(endpoint)
        if rate is not None:
            answer["rate_limit"] = {"call_count": rate[0], "refresh_second": int(rate[1]) or 1}
        return answer

    def clear(self, appid: str) -> None:
        """The day's use of this appid starts again; 10 a month (48006 beyond, real WeChat's)."""
        month = (appid, self._clock.china_day()[:7])
        if self._clears[month] >= _CLEARS_A_MONTH:
            raise WeChatRefusedError(48006, "forbid to clear quota because of reaching the limit")
        self._clears[month] += 1
        for key in [k for k in self._used if k[0] == appid]:
            del self._used[key]

    def _rate(self, endpoint: str) -> tuple[int, float] | None:
        rate = self._settings().rate_quota.get(endpoint)
        if rate is None or not isinstance(rate, int):
            return None if rate is None else (int(rate[0]), float(rate[1]))
        return rate, 60.0
