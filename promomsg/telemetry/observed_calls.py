"""Calls to a provider, timed from their first byte to their answer and told to whoever observes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from time import monotonic, time
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from promomsg.errors import Halted, NotSent, OutcomeUnknown, ProviderError
from promomsg.telemetry.hook_events import CallFinished, CallKind, HookEvent, RunInfo

__all__ = ["CallTimer", "Endpoint", "endpoint_of", "observed_sends", "server_of"]

_FAILURES: Final = ((NotSent, "RETRY"), (OutcomeUnknown, "UNKNOWN"), (Halted, "HALT"))
"""What a read or a token call that ended in such an error is said to be."""


class Endpoint(NamedTuple):
    """Where calls go.

    Attributes:
        kind: what for.
        channel: its name.
        server: `https://api.weixin.qq.com`.
        path: as it is sent, a prefix of the base URL included, without a query; empty: not known.
        method: of HTTP.
    """

    kind: CallKind
    channel: str
    server: str
    path: str
    method: str


def server_of(base_url: str) -> str:
    """The server alone: whatever else stands in a URL may be a name and a password."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@lru_cache(maxsize=128)
def endpoint_of(kind: CallKind, channel: str, base_url: str, path: str, method: str) -> Endpoint:
    """An endpoint below a base URL.

    Args:
        path: below it; empty: not known.
    """
    whole = f"{urlsplit(base_url).path.rstrip('/')}{path}" if path else ""
    return Endpoint(kind, channel, server_of(base_url), whole, method)


class CallTimer:
    """One call, timed.

    Args:
        run, tell: whose it is, and who is told.

    Attributes:
        endpoint: where it goes.
        left_at: when its first byte left, monotonic seconds; None: none has.
    """

    __slots__ = ("_run", "_tell", "endpoint", "left_at")

    def __init__(
        self, endpoint: Endpoint, run: RunInfo | None, tell: Callable[[HookEvent], None]
    ) -> None:
        self.endpoint = endpoint
        self._run = run
        self._tell = tell
        self.left_at: float | None = None

    def start(self) -> None:
        """Its first byte leaves."""
        self.left_at = monotonic()

    def finish(
        self, status: int | None, verdict: str = "OK", code: str = "", *, recipients: int = 0
    ) -> None:
        """Its answer is there, or it failed."""
        now, left_at = monotonic(), self.left_at
        kind, channel, server, path, method = self.endpoint
        self._tell(
            CallFinished(
                at=time(),
                run=self._run,
                kind=kind,
                channel=channel,
                server=server,
                method=method,
                endpoint=path,
                status=status,
                verdict=verdict,
                code=code,
                recipients=recipients,
                seconds=None if left_at is None else now - left_at,
            )
        )

    def fail(self, error: BaseException) -> None:
        """It ended in an exception. Of one that is neither an answer nor a failure (it was cancelled, the
        client was closed) nothing is told."""
        if isinstance(error, ProviderError):
            self.finish(error.status, error.verdict, error.code)
            return
        for kind, verdict in _FAILURES:
            if isinstance(error, kind):
                if isinstance(error, NotSent):
                    self.left_at = None
                code = getattr(error, "code", "") or (
                    "NO_ANSWER" if verdict == "UNKNOWN" else "NOT_SENT"
                )
                self.finish(error.status, verdict, str(code))
                return


class _Check(Protocol):
    def passes(self) -> bool: ...
    async def wait(self) -> bool: ...


class _TimedCheck:
    """The last check before the first byte: what is timed begins when it says yes."""

    __slots__ = ("_check", "_timer", "withheld")

    def __init__(self, check: _Check, timer: CallTimer) -> None:
        self._check = check
        self._timer = timer
        self.withheld = False

    def passes(self) -> bool:
        if self._check.passes():
            self._timer.left_at = monotonic()
            return True
        return False

    async def wait(self) -> bool:
        if await self._check.wait():
            self._timer.left_at = monotonic()
            return True
        self.withheld = True
        return False


def observed_sends(
    deliver: Callable[..., Awaitable[Any]],
    endpoint: Endpoint,
    run: RunInfo | None,
    tell: Callable[[HookEvent], None],
) -> Callable[..., Awaitable[Any]]:
    """A channel's `deliver` or `deliver_group` whose calls are told.

    Args:
        deliver: takes the last check as its last argument, and before it, for a group, the audience.
        run, tell: as `CallTimer`.
    """
    single = endpoint.kind == "single"

    async def observed(*args: Any) -> Any:
        *call, last_check = args
        timer = CallTimer(endpoint, run, tell)
        check = _TimedCheck(last_check, timer)
        answer = await deliver(*call, check)
        if not check.withheld:
            recipients = 1 if single else len(getattr(call[-1], "ids", ()))
            timer.finish(answer.status, answer.verdict, answer.code, recipients=recipients)
        return answer

    return observed
