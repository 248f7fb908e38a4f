"""Those who are told what happens: the hooks of a campaign and of its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import Context, copy_context
from time import time
from typing import Any, Final

import msgspec

from promomsg.telemetry.hook_events import (
    BreakerClosed,
    BreakerOpened,
    CallFinished,
    CallKind,
    HoldBegan,
    HoldEnded,
    HookEvent,
    RunInfo,
    TokenRefreshed,
)
from promomsg.telemetry.hook_thread import HookThread
from promomsg.telemetry.hooks import METHODS, Hooks, overridden
from promomsg.telemetry.observed_calls import CallTimer, endpoint_of, observed_sends

__all__ = ["Observers"]

_LONGEST_END: Final = 2.0
"""Seconds that the end of a campaign waits for its hooks."""


class Observers:
    """Those who are told; telling them returns at once, and never raises.

    Args:
        hooks: one at the least; the same one twice is told once.
        run: the run that they watch; None: a client's calls outside of campaigns.

    Attributes:
        run: the same.
        throttled: called at once when a send was refused for the pace.
    """

    def __init__(self, hooks: Iterable[Hooks], run: RunInfo | None) -> None:
        self.run = run
        self.throttled: Callable[[], None] = lambda: None
        self._hooks = list({id(one): one for one in hooks}.values())
        self._threads = [HookThread.of(one) for one in self._hooks]
        # One for each thread: a context can be entered by one at a time.
        contexts = [copy_context() for _ in self._hooks]
        self._methods: dict[
            type[HookEvent], list[tuple[HookThread, Callable[[HookEvent], None], Context]]
        ] = {
            event: [
                (thread, getattr(one, name), context)
                for one, thread, context in zip(self._hooks, self._threads, contexts, strict=True)
                if overridden(one, name)
            ]
            for event, name in METHODS.items()
        }

    @classmethod
    def of(cls, hooks: Iterable[Hooks], run: RunInfo | None) -> Observers | None:
        """Those who are told; None: there are no hooks."""
        found = tuple(hooks)
        return cls(found, run) if found else None

    def want(self, event: type[HookEvent]) -> bool:
        """Whether anybody is to be told such events: else none need be made."""
        return bool(self._methods[event])

    def _want_calls(self) -> bool:
        # What begins a hold is the answer to a call.
        kinds: tuple[type[HookEvent], ...] = (CallFinished, HoldBegan, HoldEnded)
        return any(self.want(kind) for kind in kinds)

    def tell(self, event: HookEvent) -> None:
        """Has everybody told who wants to know."""
        for thread, method, context in self._methods[type(event)]:
            # A call outside of a campaign belongs to whatever its caller is doing.
            thread.put(copy_context() if self.run is None else context, method, event)
        if isinstance(event, CallFinished) and event.verdict == "THROTTLED":
            self.throttled()

    def token_refreshed(self, expires_in: float | None) -> None:
        """A new access token is in use."""
        self.tell(TokenRefreshed(at=time(), run=self.run, expires_in=expires_in))

    def breaker_opened(self, code: str) -> None:
        """The provider cannot be reached."""
        self.tell(BreakerOpened(at=time(), run=self.run, code=code))

    def breaker_closed(self) -> None:
        """It answers again."""
        self.tell(BreakerClosed(at=time(), run=self.run))

    def observe_calls(
        self, deliver: Callable[..., Awaitable[Any]], kind: CallKind, channel: Any
    ) -> Callable[..., Awaitable[Any]]:
        """As `in_force.observe_calls`."""
        if not self._want_calls():
            return deliver
        path = getattr(channel, "send_path" if kind == "single" else "group_path", "")
        endpoint = endpoint_of(kind, channel.name, channel.base_url, path, "POST")
        return observed_sends(deliver, endpoint, self.run, self.tell)

    def time_call(
        self, kind: CallKind, channel: str, base_url: str, path: str, method: str
    ) -> CallTimer | None:
        """As `in_force.time_call`."""
        if not self._want_calls():
            return None
        timer = CallTimer(endpoint_of(kind, channel, base_url, path, method), self.run, self.tell)
        timer.start()
        return timer

    async def carried(self) -> dict[str, str]:
        """What the hooks want kept for whoever goes on with the campaign."""
        kept: dict[str, str] = {}
        carriers = [one for one in self._hooks if overridden(one, "carry")]
        if carriers and self.run is not None:
            await self.drained()  # they know of the run by then
            for one in carriers:
                with suppress(Exception):
                    kept |= _as_kept(one.carry(self.run))
        return kept

    async def drained(self) -> None:
        """Returns once everything is told, or after two seconds."""
        loop = asyncio.get_running_loop()
        told: list[asyncio.Future[None]] = []
        for thread in self._threads:
            done: asyncio.Future[None] = loop.create_future()
            told.append(done)
            thread.call_when_done(lambda done=done: _finish(loop, done))  # type: ignore[misc]
        await asyncio.wait(told, timeout=_LONGEST_END)


def _as_kept(carried: Any) -> dict[str, str]:
    """What a journal can keep of what hooks want kept; raises where it is something else."""
    found = msgspec.convert(carried, dict[str, str])
    msgspec.json.encode(found)  # not half of a character
    return found


def _finish(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    def set_done() -> None:
        if not done.done():
            done.set_result(None)

    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(set_done)
